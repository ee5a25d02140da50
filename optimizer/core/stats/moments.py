"""Mergeable sufficient statistics: what every inference starts from, whatever engine summed the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, sum and sum of squares of one number per unit.

    Attributes:
        n: Units; 0 or more.
        total: Σx over units, in the metric's own unit.
        squares: Σx² over units; None when the source cannot know it (a value total without its squares).
    """

    n: int
    total: float
    squares: float | None

    def __post_init__(self) -> None:
        """Refuse what no data can produce."""
        if self.n < 0:
            raise ValueError("n must not be negative")
        if not math.isfinite(self.total) or not math.isfinite(self.squares or 0.0):
            raise ValueError("total and squares must be finite")
        if self.squares is not None and self.n and self.squares * self.n < self.total**2 * (1 - 1e-9):
            raise ValueError("squares is smaller than total and n allow (Cauchy-Schwarz)")

    def __add__(self, other: Moments) -> Moments:
        """Merge two disjoint sets of units, exactly."""
        squares = None if self.squares is None or other.squares is None else self.squares + other.squares
        return Moments(self.n + other.n, self.total + other.total, squares)

    @classmethod
    def of_conversions(cls, visitors: int, conversions: int) -> Moments:
        """Build the moments of a 0/1 metric from counts.

        Raises:
            ValueError: conversions is negative or above visitors.
        """
        if not 0 <= conversions <= visitors:
            raise ValueError("conversions must lie between 0 and visitors")
        return cls(visitors, conversions, conversions)

    @property
    def mean(self) -> float:
        """Σx / n.

        Raises:
            ValueError: There is no unit.
        """
        if self.n == 0:
            raise ValueError("the mean of n = 0 units is undefined")
        return self.total / self.n

    @property
    def variance(self) -> float:
        """Unbiased variance of one unit's value (n − 1 in the denominator).

        Raises:
            ValueError: Fewer than two units, or the source did not give the sum of squares.
        """
        if self.squares is None:
            raise ValueError("squares is needed for a variance: send the sum of squared values")
        if self.n <= 1:
            raise ValueError("a variance needs n of at least 2")
        return max(0.0, (self.squares - self.total * self.mean) / (self.n - 1))
