"""`experiment_viewed`, in whatever format it comes, is an exposure: who saw which variant of which experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from optimizer.ingest.event import Event, Exposure

EXPERIMENT_VIEWED = "experiment_viewed"
EXPERIMENTS = ("experiment_id", "experiment", "experiment_key", "experiment_name")
VARIANTS = ("variation_id", "variant", "variant_key", "variation", "variant_name", "variation_name")


def exposure_of(event: Event) -> Exposure | None:
    """Read an exposure out of an event's properties; None when they name no experiment or no variant that fits."""
    fields = {
        "experiment": _first(event.properties, EXPERIMENTS),
        "variant": _first(event.properties, VARIANTS),
        "user_id": event.user_id,
        "anonymous_id": event.anonymous_id,
        "session_id": event.session_id,
        "exposure_id": event.event_id,
    }
    try:
        found = msgspec.convert({name: value for name, value in fields.items() if value is not None}, Exposure)
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(found, timestamp=event.timestamp)


def _first(properties: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = properties.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return None
