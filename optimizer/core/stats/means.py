"""Two means at a fixed horizon: Welch's t."""

from __future__ import annotations

import math

from scipy import stats

from optimizer.core.stats.effects import Effect, Interval, check_alpha
from optimizer.core.stats.moments import Moments


def compare_means(control: Moments, treatment: Moments, alpha: float) -> Effect:
    """Compare two means with Welch's t and Satterthwaite's degrees of freedom (Welch 1947).

    Args:
        control: Moments of the control; two units or more.
        treatment: Moments of the treatment; two units or more.
        alpha: Two-sided error rate in (0, 1).

    Raises:
        ValueError: An arm has fewer than two units or no sum of squares, or neither arm varies.
    """
    check_alpha(alpha)
    v_a, v_b = control.variance / control.n, treatment.variance / treatment.n
    error = math.sqrt(v_a + v_b)
    if error == 0:
        raise ValueError("control and treatment have no variance")
    freedom = (v_a + v_b) ** 2 / (v_a**2 / (control.n - 1) + v_b**2 / (treatment.n - 1))
    difference = treatment.mean - control.mean
    critical = float(stats.t.isf(alpha / 2, freedom))
    interval = Interval(difference - critical * error, difference + critical * error)
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return Effect(difference, error, interval, p_value, critical, "welch_t")
