"""From any wire format to one internal event, durable before the answer."""
