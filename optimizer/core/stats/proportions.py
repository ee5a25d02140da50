"""Two proportions at a fixed horizon, and intervals for one.

The unpooled z serves both the interval and the p-value, so that they always agree. Where a cell is too small for it
(below 10) an exact test takes over with Newcombe's score interval; both are named in the result.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from optimizer.core.stats.effects import Effect, Floats, Interval, check_alpha
from optimizer.core.stats.exact import SMALL_CELL, exact_p_value
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.pairs import Judged, Pairs, normal_answer, pair_of, single_effect


def judge_proportions(pairs: Pairs, alpha: Floats, *, pooled: bool = False) -> Judged:
    """Compare pairs of unadjusted 0/1 values.

    Args:
        pairs: At least one unit in each arm.
        alpha: Per pair, two-sided error rate in (0, 1).
        pooled: Use the pooled standard error for the p-value (the interval stays unpooled).
    """
    critical = -special.ndtri(alpha / 2)
    variance = pairs.variance_a + pairs.variance_b
    tested = pairs.pooled if pooled else variance
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * special.ndtr(-np.abs(pairs.difference) / np.sqrt(tested))
    names = ["z_pooled" if pooled else "z_unpooled"] * len(critical)
    found = normal_answer(pairs, variance, critical, p_value, names)
    for place in np.flatnonzero(small_cells(pairs)):
        counts = tuple(round(float(x[place])) for x in (pairs.total_a, pairs.n_a, pairs.total_b, pairs.n_b))
        found.p_value[place], test = exact_p_value(*counts)
        control, treatment = (
            Moments.of_conversions(counts[1], counts[0]),
            Moments.of_conversions(counts[3], counts[2]),
        )
        found.lower[place], found.upper[place] = newcombe_interval(control, treatment, float(alpha[place]))
        found.names[place] = f"{test}+newcombe"
        related = score_ratio_interval(control, treatment, float(alpha[place]))
        if related is not None:
            found.lifts.lower[place], found.lifts.upper[place] = (bound - 1 for bound in related)
            found.lifts.names[place] = "score"
    return found


def small_cells(pairs: Pairs) -> np.ndarray:
    """Tell which pairs have fewer than ten conversions, or fewer than ten units without one, in either arm."""
    cells = (pairs.total_a, pairs.n_a - pairs.total_a, pairs.total_b, pairs.n_b - pairs.total_b)
    small: np.ndarray = (np.minimum.reduce(cells) < SMALL_CELL) & (pairs.counts > 0)
    return small


def compare_proportions(control: Moments, treatment: Moments, alpha: float, *, pooled: bool = False) -> Effect:
    """Compare two proportions.

    Args:
        control: 0/1 moments of the control.
        treatment: 0/1 moments of the treatment.
        alpha: Two-sided error rate in (0, 1).
        pooled: Use the pooled standard error for the p-value (the interval stays unpooled).

    Raises:
        ValueError: An arm is empty, or alpha is outside (0, 1).
    """
    check_alpha(alpha)
    if control.n == 0 or treatment.n == 0:
        raise ValueError("the mean of n = 0 units is undefined")
    pair = pair_of(control, treatment, "proportion")
    return single_effect(judge_proportions(pair, np.array([alpha]), pooled=pooled))


def wilson_interval(conversions: float, visitors: int, alpha: float) -> Interval:
    """Return Wilson's score interval for one proportion (Wilson 1927; Brown, Cai, DasGupta 2001, eq. 4).

    Raises:
        ValueError: visitors is 0, or alpha is outside (0, 1).
    """
    check_alpha(alpha)
    if visitors <= 0:
        raise ValueError("visitors must be positive")
    z2 = float(special.ndtri(alpha / 2)) ** 2
    rate = conversions / visitors
    centre = (conversions + z2 / 2) / (visitors + z2)
    half = math.sqrt(z2) / (visitors + z2) * math.sqrt(visitors * rate * (1 - rate) + z2 / 4)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def newcombe_interval(control: Moments, treatment: Moments, alpha: float) -> Interval:
    """Return Newcombe's hybrid score interval for p_b − p_a (Newcombe 1998, method 10)."""
    p_a, p_b = control.mean, treatment.mean
    low_a, high_a = wilson_interval(control.total, control.n, alpha)
    low_b, high_b = wilson_interval(treatment.total, treatment.n, alpha)
    difference = p_b - p_a
    return Interval(
        difference - math.hypot(p_b - low_b, high_a - p_a), difference + math.hypot(high_b - p_b, p_a - low_a)
    )


def score_ratio_interval(control: Moments, treatment: Moments, alpha: float) -> Interval | None:
    """Return the interval of p_b/p_a that goes with Newcombe's: it holds 1 exactly when that one holds 0.

    Both recover variances from Wilson's limits; R is inside when the interval of p_b − R·p_a holds 0.

    Returns:
        The interval, or None when the control has no conversion.

    Source:
        Donner and Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation"
        (2012), eq. 4, with Wilson's limits.
    """
    if control.total == 0:
        return None
    p_a, p_b = control.mean, treatment.mean
    low_a, high_a = wilson_interval(control.total, control.n, alpha)
    low_b, high_b = wilson_interval(treatment.total, treatment.n, alpha)
    product, above, below = p_a * p_b, high_a * (2 * p_a - high_a), low_a * (2 * p_a - low_a)
    lower_rest, upper_rest = low_b * (2 * p_b - low_b), high_b * (2 * p_b - high_b)
    root = math.sqrt(max(0.0, product**2 - above * lower_rest))
    lower = (
        lower_rest / (product + root) if product + root > 0 else 0.0
    )  # the other form cancels when above is near 0
    return Interval(lower, (product + math.sqrt(max(0.0, product**2 - below * upper_rest))) / below)
