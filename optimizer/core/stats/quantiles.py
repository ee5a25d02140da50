"""Quantile metrics (a median order, the 95th percentile of loading time) over observations that cluster in units.

The unit was randomised, not the observation: a visitor with forty page views is one draw, not forty. The standard
error comes from the share of observations below the quantile, a ratio of sums over units, turned back into the
metric's scale by the outer interval, so that no density has to be estimated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from optimizer.core.stats.effects import Effect, Interval, check_alpha

FEWEST_UNITS = 30


class Quantile(NamedTuple):
    """A quantile and its sampling error.

    Attributes:
        value: The quantile over all observations of the arm.
        standard_error: Of it; None when there are too few units, or too few at that tail, to tell.
        units: Units that it rests on.
        observations: Observations.
    """

    value: float
    standard_error: float | None
    units: int
    observations: int


def clustered_quantile(values: ArrayLike, units: ArrayLike, level: float) -> Quantile:
    """Estimate a quantile of observations, with the error of its units.

    Args:
        values: Observations.
        units: For each observation, the number or name of its unit.
        level: Which quantile, in (0, 1).

    Raises:
        ValueError: There is no observation, the lengths differ or level is outside (0, 1).

    Source:
        Deng, Knoblich, Lu, "Applying the delta method in metric analytics" (2018), section 4; the outer interval is
        Woodruff's (1952).
    """
    if not 0 < level < 1:
        raise ValueError("level must lie strictly between 0 and 1")
    amounts, (_, place) = np.asarray(values, float), np.unique(np.asarray(units), return_inverse=True)
    if not len(amounts) or place.shape != amounts.shape:
        raise ValueError("values must not be empty and need one unit each")
    ordered = np.sort(amounts)
    value = _at(ordered, level)
    counts = np.bincount(place)
    below = np.bincount(place, weights=amounts <= value)
    n = len(counts)
    if n < FEWEST_UNITS:
        return Quantile(value, None, n, len(amounts))
    # Share = Σbelow/Σcounts: the delta method's variance of a ratio is that of these residuals.
    residual = below - below.sum() / counts.sum() * counts
    error = math.sqrt(float(residual @ residual) / (n - 1) / n) / float(counts.mean())
    low, high = level - error, level + error
    if low <= 0 or high >= 1:
        return Quantile(value, None, n, len(amounts))
    spread = (_at(ordered, high) - _at(ordered, low)) / 2
    return Quantile(value, spread if spread > 0 else None, n, len(amounts))


def compare_quantiles(control: Quantile, treatment: Quantile, alpha: float) -> Effect | None:
    """Compare two quantiles by a normal test; None when an arm's error is not known.

    Raises:
        ValueError: alpha is outside (0, 1).
    """
    check_alpha(alpha)
    if control.standard_error is None or treatment.standard_error is None:
        return None
    error = math.hypot(control.standard_error, treatment.standard_error)
    difference, critical = treatment.value - control.value, float(-special.ndtri(alpha / 2))
    p_value = float(2 * special.ndtr(-abs(difference) / error))
    interval = Interval(difference - critical * error, difference + critical * error)
    return Effect(difference, error, interval, p_value, critical, "clustered_quantile_z")


def _at(ordered: np.ndarray, level: float) -> float:
    return float(ordered[min(len(ordered) - 1, max(0, math.ceil(level * len(ordered)) - 1))])
