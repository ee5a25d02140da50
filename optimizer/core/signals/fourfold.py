"""How well one event predicts the goal, from the four counts of who did it and who converted.

Association, not cause: every answer that carries these figures says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from scipy import special

from optimizer.core.stats.effects import Interval
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.proportions import newcombe_interval, wilson_interval

ALPHA = 0.05
SMALL_EXPECTED = 5


@dataclass(frozen=True, slots=True)
class Counts:
    """A fourfold table.

    Attributes:
        units_with: Units that did the event.
        converted_with: Of those, how many converted.
        units_without: Units that did not.
        converted_without: Of those, how many converted.
    """

    units_with: int
    converted_with: int
    units_without: int
    converted_without: int

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if not (0 <= self.converted_with <= self.units_with and 0 <= self.converted_without <= self.units_without):
            raise ValueError("converted units must lie between 0 and all units")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the table says; None where it cannot say it. Intervals are at 95%.

    Attributes:
        rate_with: Share of units with the event that converted, and its Wilson interval.
        risk_difference: rate_with − rate_without, and Newcombe's interval.
        lift: rate_with / rate_without, and its log interval.
        odds_ratio: And its log interval.
        phi: Correlation of the two indicators.
        mutual_information_bits: What knowing one tells about the other.
        p_value: Pearson's χ² (Fisher's exact test where an expected count is below 5).
        test: Which of the two.
    """

    rate_with: float | None = None
    rate_with_interval: Interval | None = None
    rate_without: float | None = None
    rate_without_interval: Interval | None = None
    risk_difference: float | None = None
    risk_difference_interval: Interval | None = None
    lift: float | None = None
    lift_interval: Interval | None = None
    odds_ratio: float | None = None
    odds_ratio_interval: Interval | None = None
    phi: float | None = None
    mutual_information_bits: float | None = None
    p_value: float | None = None
    test: str | None = None


def figures(counts: Counts) -> Figures:
    """Compute every figure of a fourfold table.

    Where a cell is empty, lift and odds ratio are taken with ½ added to every cell (Haldane 1956, Anscombe 1956), so
    that they stay finite.
    """
    n1, n0 = counts.units_with, counts.units_without
    a, c = counts.converted_with, counts.converted_without
    rate1, rate0 = (a / n1 if n1 else None), (c / n0 if n0 else None)
    one_sided = Figures(
        rate_with=rate1,
        rate_with_interval=wilson_interval(a, n1, ALPHA) if n1 else None,
        rate_without=rate0,
        rate_without_interval=wilson_interval(c, n0, ALPHA) if n0 else None,
    )
    if rate1 is None or rate0 is None or a + c in {0, n1 + n0}:
        return one_sided
    cells = np.array([[a, n1 - a], [c, n0 - c]], float)
    p_value, test = _association(cells)
    lift, odds = _ratios(cells)
    return Figures(
        rate_with=one_sided.rate_with,
        rate_with_interval=one_sided.rate_with_interval,
        rate_without=one_sided.rate_without,
        rate_without_interval=one_sided.rate_without_interval,
        risk_difference=rate1 - rate0,
        risk_difference_interval=newcombe_interval(
            Moments.of_conversions(n0, c), Moments.of_conversions(n1, a), ALPHA
        ),
        lift=lift[0],
        lift_interval=lift[1],
        odds_ratio=odds[0],
        odds_ratio_interval=odds[1],
        phi=_phi(cells),
        mutual_information_bits=_mutual_information(cells),
        p_value=p_value,
        test=test,
    )


def _association(cells: np.ndarray) -> tuple[float, str]:
    expected = np.outer(cells.sum(1), cells.sum(0)) / cells.sum()
    if expected.min() < SMALL_EXPECTED:
        return float(scipy.stats.fisher_exact(cells.astype(int))[1]), "fisher_exact"
    statistic = float(((cells - expected) ** 2 / expected).sum())
    return float(special.chdtrc(1, statistic)), "pearson_chi2"


def _ratios(cells: np.ndarray) -> tuple[tuple[float, Interval], tuple[float, Interval]]:
    (a, b), (c, d) = cells + 0.5 if (cells == 0).any() else cells
    z = float(-special.ndtri(ALPHA / 2))
    lift = (a / (a + b)) / (c / (c + d))
    lift_error = math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
    odds = a * d / (b * c)
    odds_error = math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return (
        (lift, Interval(lift * math.exp(-z * lift_error), lift * math.exp(z * lift_error))),
        (odds, Interval(odds * math.exp(-z * odds_error), odds * math.exp(z * odds_error))),
    )


def _phi(cells: np.ndarray) -> float:
    margins = float(np.prod(cells.sum(0)) * np.prod(cells.sum(1)))
    return float(np.linalg.det(cells)) / math.sqrt(margins) if margins else 0.0


def _mutual_information(cells: np.ndarray) -> float:
    joint = cells / cells.sum()
    apart = np.outer(joint.sum(1), joint.sum(0))
    filled = joint > 0
    return max(0.0, float((joint[filled] * np.log2(joint[filled] / apart[filled])).sum()))
