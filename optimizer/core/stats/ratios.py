"""Relative lift, μ_b/μ_a − 1, with its interval.

The critical value is an argument, so that the same two formulas serve a fixed horizon (z or t) and a confidence
sequence. Fieller's interval is the honest one: it agrees with the interval of the difference about zero, and stops
existing when the control mean cannot be told from zero. The delta method then stands in, and says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optimizer.core.stats.moments import FloatArray


class RelativeInterval(NamedTuple):
    """Interval of a relative lift; arrays of one shape.

    Attributes:
        lower: Lower end; −.08 means 8% less than control.
        upper: Upper end.
        fieller: True where the interval is Fieller's; False where it is the delta method's.
    """

    lower: FloatArray
    upper: FloatArray
    fieller: npt.NDArray[np.bool_]


def delta_interval(
    control_mean: npt.ArrayLike,
    control_variance: npt.ArrayLike,
    treatment_mean: npt.ArrayLike,
    treatment_variance: npt.ArrayLike,
    critical_value: npt.ArrayLike,
) -> RelativeInterval:
    """Interval of the relative lift by the delta method: SE² = v_b/μ_a² + v_a·μ_b²/μ_a⁴.

    Args:
        control_mean: μ_a, above zero.
        control_variance: v_a, the variance of the *mean*, not of one unit.
        treatment_mean: μ_b.
        treatment_variance: v_b, the variance of the mean.
        critical_value: Half-width of the interval of the difference in standard errors, for example 1.96.

    Raises:
        ValueError: A control mean is not above zero, so that no relative lift exists.
    """
    mean = _positive(control_mean)
    ratio = np.asarray(treatment_mean, dtype=np.float64) / mean
    error = np.sqrt(np.asarray(treatment_variance) + np.asarray(control_variance) * ratio**2) / mean
    half_width = np.asarray(critical_value) * error
    return RelativeInterval(ratio - 1 - half_width, ratio - 1 + half_width, np.zeros(ratio.shape, dtype=np.bool_))


def fieller_interval(
    control_mean: npt.ArrayLike,
    control_variance: npt.ArrayLike,
    treatment_mean: npt.ArrayLike,
    treatment_variance: npt.ArrayLike,
    critical_value: npt.ArrayLike,
) -> RelativeInterval:
    """Interval of the relative lift by Fieller's theorem, or by the delta method where g = k²v_a/μ_a² reaches 1.

    With R = μ_b/μ_a and critical value k: [R ± (k/μ_a)·√(R²v_a + (1−g)v_b)]/(1−g) − 1 for independent arms.

    Args:
        control_mean: μ_a, above zero.
        control_variance: v_a, the variance of the *mean*, not of one unit.
        treatment_mean: μ_b.
        treatment_variance: v_b, the variance of the mean.
        critical_value: k, half-width of the interval of the difference in standard errors, for example 1.96.

    Raises:
        ValueError: A control mean is not above zero, so that no relative lift exists.
    """
    mean = _positive(control_mean)
    k = np.asarray(critical_value, dtype=np.float64)
    ratio = np.asarray(treatment_mean, dtype=np.float64) / mean
    g = k**2 * np.asarray(control_variance) / mean**2
    exists = g < 1
    kept = np.where(exists, 1 - g, 1.0)
    spread = (k / mean) * np.sqrt(ratio**2 * np.asarray(control_variance) + kept * np.asarray(treatment_variance))
    delta = delta_interval(control_mean, control_variance, treatment_mean, treatment_variance, critical_value)
    return RelativeInterval(
        np.where(exists, (ratio - spread) / kept - 1, delta.lower),
        np.where(exists, (ratio + spread) / kept - 1, delta.upper),
        exists,
    )


def _positive(control_mean: npt.ArrayLike) -> FloatArray:
    mean = np.asarray(control_mean, dtype=np.float64)
    if not np.all(mean > 0):
        raise ValueError("control_mean: must be above zero for a relative lift to exist")
    return mean
