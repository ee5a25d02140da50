"""Winsorising: one whale must not decide a test. Values above a cap count as the cap.

A cap is a value or a percentile over all arms *together*: a cap per arm would move with the treatment and hide its
effect on large values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from optimizer.core.stats.effects import Floats


def pooled_threshold(values: ArrayLike, units: ArrayLike, percentile: float) -> float:
    """Return the smallest value that at least the given share of all units does not exceed.

    Args:
        values: Distinct values per unit over all arms together, in any order (units without a value included as 0).
        units: How many units have each; counts of shards may simply be concatenated.
        percentile: Share in (0, 1], for example .99.

    Returns:
        A value that occurs, so that capping at it changes nobody below it.

    Raises:
        ValueError: There is no unit, the lengths differ or percentile is outside (0, 1].
    """
    if not 0 < percentile <= 1:
        raise ValueError("percentile must lie in (0, 1]")
    amounts, counts = np.asarray(values, float), np.asarray(units, float)
    if amounts.shape != counts.shape or amounts.ndim != 1:
        raise ValueError("units must have one entry per value")
    if not counts.sum() > 0 or (counts < 0).any():
        raise ValueError("units must not be negative and not all 0")
    order = np.argsort(amounts)
    reached = counts[order].cumsum()
    place = int(np.searchsorted(reached, percentile * reached[-1] * (1 - 1e-12)))
    return float(amounts[order][min(place, len(amounts) - 1)])


def winsorise(values: ArrayLike, threshold: float) -> Floats:
    """Replace values above the threshold by it."""
    capped: Floats = np.minimum(np.asarray(values, float), threshold)
    return capped
