"""Means: the average value of one visitor, and the difference between two averages.

Welch's t needs no equal variances, and with Satterthwaite's degrees of freedom it holds for small arms too. The
weighted difference μ_b − factor·μ_a is the same test with one more number: that is how a margin is tested without a
ratio.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from optimizer.core.stats.moments import FloatArray, Moments


class WelchTest(NamedTuple):
    """Treatment minus factor × control, elementwise.

    Attributes:
        difference: The (weighted) difference of the means.
        standard_error: Its standard error, without the assumption of equal variances.
        degrees_of_freedom: Satterthwaite's; NaN where both variances are 0.
        p_value: Two-sided; NaN where both variances are 0.
        lower: Lower end of the interval at 1 − α.
        upper: Upper end.
    """

    difference: FloatArray
    standard_error: FloatArray
    degrees_of_freedom: FloatArray
    p_value: FloatArray
    lower: FloatArray
    upper: FloatArray


def satterthwaite(control: Moments, treatment: Moments, control_factor: float = 1.0) -> FloatArray:
    """Degrees of freedom of the weighted difference's variance estimate; NaN where both variances are 0.

    Args:
        control: One arm's moments, at least two units.
        treatment: The other's, at least two units.
        control_factor: Weight of the control mean.
    """
    of_control = control_factor**2 * control.variances / control.units
    of_treatment = treatment.variances / treatment.units
    total = of_control + of_treatment
    positive = total > 0
    share = np.where(positive, of_control / np.where(positive, total, 1.0), np.nan)
    return np.asarray(1 / (share**2 / (control.units - 1) + (1 - share) ** 2 / (treatment.units - 1)))


def welch_test(
    control: Moments, treatment: Moments, alpha: float = 0.05, *, control_factor: float = 1.0
) -> WelchTest:
    """Compare two means by Welch's t, elementwise.

    Args:
        control: One arm's moments with Σx², at least two units.
        treatment: The other's, at least two units.
        alpha: Two-sided error rate.
        control_factor: Weight of the control mean; 1 compares the means themselves.

    Raises:
        ValueError: An arm has fewer than two units, or Σx² is unknown.
    """
    if np.any(control.units < 2) or np.any(treatment.units < 2):  # noqa: PLR2004 - a variance takes two units
        raise ValueError("units: a variance takes at least two in each arm")
    difference = treatment.means - control_factor * control.means
    variance = control_factor**2 * control.variances / control.units + treatment.variances / treatment.units
    error = np.sqrt(variance)
    freedom = satterthwaite(control, treatment, control_factor)
    positive = error > 0
    score = np.where(positive, np.abs(difference) / np.where(positive, error, 1.0), np.nan)
    half_width = stdtrit(freedom, 1 - alpha / 2) * error
    return WelchTest(
        difference, error, freedom, 2 * stdtr(freedom, -score), difference - half_width, difference + half_width
    )
