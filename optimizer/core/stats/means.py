"""Means, ratios and quantiles at a fixed horizon: Welch's t."""

from __future__ import annotations

import numpy as np
from scipy import special

from optimizer.core.stats.effects import Effect, Floats, check_alpha
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.pairs import Judged, Pairs, normal_answer, pair_of, single_effect


def judge_means(pairs: Pairs, alpha: Floats) -> Judged:
    """Compare pairs with Welch's t and Satterthwaite's degrees of freedom (Welch 1947).

    Ratios come with the delta method's variance, adjusted means with CUPED's, quantiles with that of their order
    statistics; the test is the same.

    Args:
        pairs: Two units or more in each arm, and some variance in one of them.
        alpha: Per pair, two-sided error rate in (0, 1).
    """
    v_a, v_b = pairs.variance_a, pairs.variance_b
    variance = v_a + v_b
    share = v_a / variance  # of the variance, so that no square underflows
    freedom = 1 / (share**2 / (pairs.n_a - 1) + (1 - share) ** 2 / (pairs.n_b - 1))
    critical = -special.stdtrit(freedom, alpha / 2)
    p_value = 2 * special.stdtr(freedom, -np.abs(pairs.difference) / np.sqrt(variance))
    errors = np.where(pairs.ratio > 0, "delta_method+", np.where(pairs.quantile > 0, "order_statistics+", ""))
    names = [
        f"{error}welch_t{'+cuped' if adjusted else ''}"
        for error, adjusted in zip(errors.tolist(), pairs.adjusted.tolist(), strict=True)
    ]
    return normal_answer(pairs, variance, critical, p_value, names)


def compare_means(control: Moments, treatment: Moments, alpha: float) -> Effect:
    """Compare two means with Welch's t.

    Args:
        control: Moments of the control; two units or more.
        treatment: Moments of the treatment; two units or more.
        alpha: Two-sided error rate in (0, 1).

    Raises:
        ValueError: An arm has fewer than two units or no sum of squares, or neither arm varies.
    """
    check_alpha(alpha)
    if control.variance == 0 and treatment.variance == 0:
        raise ValueError("control and treatment have no variance")
    return single_effect(judge_means(pair_of(control, treatment, "mean"), np.array([alpha])))
