"""Relative lift, μ_b/μ_a − 1, with its interval.

The critical value is an argument, so that the same two formulas serve a fixed horizon (z or t) and a confidence
sequence. Fieller's interval is the honest one: it agrees with the interval of the difference about zero, and stops
existing when the control mean cannot be told from zero. The delta method then stands in, and says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optimizer.core.stats.moments import FloatArray


class RelativeInterval(NamedTuple):
    """Interval of a relative lift; arrays of one shape.

    Attributes:
        lower: Lower end; −.08 means 8% less than control.
        upper: Upper end.
        fieller: True where Fieller's interval exists (g < 1); False where the delta method stands in.
    """

    lower: FloatArray
    upper: FloatArray
    fieller: FloatArray | np.bool_ | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def delta_interval(
    control_mean: FloatArray | float,
    control_variance: FloatArray | float,
    treatment_mean: FloatArray | float,
    treatment_variance: FloatArray | float,
    critical_value: FloatArray | float,
) -> RelativeInterval:
    """Interval of the relative lift by the delta method: SE² = v_b/μ_a² + v_a·μ_b²/μ_a⁴.

    Args:
        control_mean: μ_a, not zero.
        control_variance: v_a, the variance of the *mean*.
        treatment_mean: μ_b.
        treatment_variance: v_b, the variance of the mean.
        critical_value: Half-width in standard errors, for example 1.96.
    """
    ratio = treatment_mean / np.asarray(control_mean)
    error = np.sqrt(treatment_variance + control_variance * ratio**2) / np.abs(control_mean)
    return RelativeInterval(
        ratio - 1 - critical_value * error, ratio - 1 + critical_value * error, np.zeros(np.shape(ratio), dtype=bool)
    )
