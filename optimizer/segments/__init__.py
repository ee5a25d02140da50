"""Whom to bring back: definitions, members, the sequence of changes, and suppressions."""
