"""How finely time is cut: into periods at risk, their levels for comparison, or at one landmark."""

from __future__ import annotations

from collections.abc import Sequence

LANDMARKS_HOURS = (1.0, 6.0, 24.0, 72.0, 168.0)
PERIODS_HOURS = (1 / 12, 0.25, 1.0, 6.0, 24.0)
CAPPED_ACTIVITY = 18  # events beyond this are one level
# The last event lies at most this share of a period before its end.
RECENCY_SHARES = (1 / 12, 1 / 4)


def longest_keeping_half(candidates: Sequence[tuple[float, int]], converters: int) -> float:
    """Choose the longest stretch of time that leaves at least half of the converters after it.

    Args:
        candidates: (hours, converters after it), by ascending hours; at least one.
        converters: All converters.
    """
    fitting = [hours for hours, after in candidates if 2 * after >= converters]
    return max(fitting, default=candidates[0][0])


def activity_level(events: int) -> int:
    """Return the level of so many events before: 0, 1, 2, 3–4, 5–8, 9–16, more.

    Raises:
        ValueError: events is negative.
    """
    if events < 0:
        raise ValueError("events must not be negative")
    return min(events, 2) if events <= 2 else min((events - 1).bit_length() + 1, 6)  # noqa: PLR2004 - see above
