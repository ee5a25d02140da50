"""What a unit that did an event brings later on: shrunk, with a lower bound to gate on, and checked on later weeks.

Predicted, not incremental.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from optimizer.core.signals.fourfold import ALPHA
from optimizer.core.stats.effects import Interval

PRIOR_UNITS = 50.0
MINIMUM_POINTS = 3
MINIMUM_GROUPS = 2


class Worth(NamedTuple):
    """Expected goal value per unit that did the event.

    Attributes:
        expected: Mean, drawn towards the overall mean with the weight of 50 units.
        lower: One-sided 97.5% lower bound of it, not below 0; None with fewer than 2 units.
    """

    expected: float
    lower: float | None


class Slope(NamedTuple):
    """How observed values follow predicted ones.

    Attributes:
        slope: Of a line fitted with weights; 1 is perfect, less says that predictions lie too far apart.
        standard_error: Of it, for these predictions and other people.
        interval: At 95%.
        ratio: Sum observed ÷ sum predicted.
    """

    slope: float
    standard_error: float
    interval: Interval
    ratio: float


def expected_worth(total: float, squares: float, units: int, overall: float) -> Worth:
    """Shrink a mean and bound it.

    Args:
        total: Sum of goal values of the units that did the event.
        squares: Sum of their squares.
        units: How many did it, those who bring nothing included.
        overall: Mean value per unit over everybody.

    Raises:
        ValueError: units is negative.
    """
    if units < 0:
        raise ValueError("units must not be negative")
    expected = (total + PRIOR_UNITS * overall) / (units + PRIOR_UNITS)
    if units < 2:  # noqa: PLR2004 - no variance from one
        return Worth(expected, None)
    variance = max(0.0, squares - total**2 / units) / (units - 1)
    # The prior's weight is known exactly, so only the units' own part of the mean varies.
    error = math.sqrt(units * variance) / (units + PRIOR_UNITS)
    return Worth(expected, max(0.0, expected + float(special.ndtri(ALPHA / 2)) * error))


def calibration_slope(
    predicted: NDArray[np.float64], value: NDArray[np.float64], units: NDArray[np.float64]
) -> Slope | None:
    """Fit observed on predicted means, weighted by how many units each stands for.

    A person who did five events is in five cells, so cells are not independent; groups of people are. Errors are
    those of Liang and Zeger (1986), summed by group, with t's quantiles.

    Args:
        predicted: Per cell, made from other units; shape (cells,).
        value: What people brought, per cell and group of people; shape (cells, groups).
        units: How many people they were. Nobody is in two groups; the same person may be in several cells of one.

    Returns:
        None with fewer than 3 cells or 2 groups, or where all predictions, or all weights, say the same.
    """
    used, filled = units.sum(1) > 0, units.sum(0) > 0
    predicted, value, units = predicted[used], value[used][:, filled], units[used][:, filled]
    weights, groups = units.sum(1), units.shape[1]
    expected = float((weights * predicted).sum())
    if len(weights) < MINIMUM_POINTS or groups < MINIMUM_GROUPS or expected <= 0:
        return None
    observed, people = value.sum(1) / weights, weights.sum()
    x = predicted - expected / people
    spread = float((weights * x**2).sum())
    if spread <= 1e-12 * float((weights * predicted**2).sum()):
        return None
    slope = float((weights * x * observed).sum()) / spread
    fitted = float((weights * observed).sum() / people) + slope * x
    left = (x[:, None] * (value - units * fitted[:, None])).sum(0)
    error = math.sqrt(float((left**2).sum()) * groups / (groups - 1)) / spread
    half = float(-special.stdtrit(groups - 1, ALPHA / 2)) * error
    return Slope(slope, error, Interval(slope - half, slope + half), float(value.sum()) / expected)
