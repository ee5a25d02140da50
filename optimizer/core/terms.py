"""On which terms a value is told: a share of it, because what is bought has a cost, and never more than a cap.

Terms apply to what a person is worth, before it is taken apart into increments. What is told of one person then never
exceeds the best that any of their events is told at, and no increment is negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.core.value import Cell, Ladder


@dataclass(frozen=True, slots=True)
class Terms:
    """How one event's value is told.

    Attributes:
        margin: Share of the value that is told, above 0 and at most 1.
        maximum: The most that one occurrence is told at; None sets no limit.
    """

    margin: float = 1.0
    maximum: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no margin and no cap."""
        if not 0 < self.margin <= 1:
            raise ValueError("margin must be above 0 and at most 1")
        if self.maximum is not None and not self.maximum > 0:
            raise ValueError("maximum must be above 0")

    def told(self, value: float) -> float:
        """Return what is told of a value."""
        share = self.margin * value
        return share if self.maximum is None else min(share, self.maximum)


def told_of(ladder: Ladder, terms: Sequence[Terms], cell: Cell) -> float:
    """Return all that is told of one of these people: the increments of their events add up to the best of them.

    Args:
        ladder: What each event is worth.
        terms: By the event's place.
        cell: People who did at least one event.
    """
    return max(terms[place].told(ladder.value(place, cell.source)) for place in cell.done)
