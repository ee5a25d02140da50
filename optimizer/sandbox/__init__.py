"""Stand-ins for the ad platforms, stricter than they are; they share no code with what they judge."""
