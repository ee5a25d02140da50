"""What a unit that did an event brings later on: shrunk, with a lower bound to gate on, and checked on later weeks.

Predicted, not incremental.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from optimizer.core.signals.fourfold import ALPHA

PRIOR_UNITS = 50.0
MINIMUM_POINTS = 3


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
        standard_error: Of it.
        ratio: Sum observed ÷ sum predicted.
    """

    slope: float
    standard_error: float
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
    return Worth(expected, max(0.0, expected - float(stats.norm.isf(ALPHA / 2)) * error))


def calibration_slope(
    predicted: NDArray[np.float64], observed: NDArray[np.float64], units: NDArray[np.float64]
) -> Slope | None:
    """Fit observed on predicted means, weighted by how many units each stands for.

    Args:
        predicted: Per cell, made from other units; shape (cells,).
        observed: Per cell.
        units: How many were observed in each cell.

    Returns:
        None with fewer than 3 cells, or where all predictions, or all weights, say the same.
    """
    used = units > 0
    predicted, observed, units = predicted[used], observed[used], units[used]
    expected = float((units * predicted).sum())
    if len(units) < MINIMUM_POINTS or expected <= 0:
        return None
    weights = units / units.sum()
    x, y = predicted - float((weights * predicted).sum()), observed - float((weights * observed).sum())
    spread = float((weights * x**2).sum())
    if spread <= 1e-12 * float((weights * predicted**2).sum()):
        return None
    slope = float((weights * x * y).sum()) / spread
    # Errors of a mean shrink with its units, as the weights have it; their size is taken from the scatter itself.
    scatter = float((weights * (y - slope * x) ** 2).sum()) / (len(units) - 2)
    return Slope(slope, math.sqrt(scatter / spread), float((units * observed).sum()) / expected)
