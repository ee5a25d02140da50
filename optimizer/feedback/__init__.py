"""Feeding conversions back to ad platforms: outbox, dispatcher, policy, one destination a file."""
