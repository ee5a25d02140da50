"""Two proportions at a fixed horizon, and intervals for one.

The unpooled z serves both the interval and the p-value, so that they always agree. Where a cell is too small for it
(below 10) an exact test takes over with Newcombe's score interval; both are named in the result.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from optimizer.core.stats.effects import Effect, Interval, check_alpha
from optimizer.core.stats.moments import Moments

SMALL_CELL = 10
# Boschloo enumerates every table with the same margins; beyond this many it takes a tenth of a second or more, and
# Fisher, which conditions on both margins and is a little more conservative, takes over.
BOSCHLOO_TABLES = 4_000


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
    p_a, p_b = control.mean, treatment.mean
    z = float(stats.norm.isf(alpha / 2))
    unpooled = math.sqrt(p_a * (1 - p_a) / control.n + p_b * (1 - p_b) / treatment.n)
    difference = p_b - p_a
    if smallest_cell(control, treatment) < SMALL_CELL:
        p_value, test = _exact_p_value(control, treatment)
        return Effect(
            difference, unpooled, newcombe_interval(control, treatment, alpha), p_value, z, f"{test}+newcombe"
        )
    error = pooled_standard_error(control, treatment) if pooled else unpooled
    p_value = float(2 * stats.norm.sf(abs(difference) / error))
    interval = Interval(difference - z * unpooled, difference + z * unpooled)
    return Effect(difference, unpooled, interval, p_value, z, "z_pooled" if pooled else "z_unpooled")


def smallest_cell(control: Moments, treatment: Moments) -> float:
    """Return the smallest of the four counts: converted and not, in either arm."""
    return min(control.total, control.n - control.total, treatment.total, treatment.n - treatment.total)


def pooled_standard_error(control: Moments, treatment: Moments) -> float:
    """Return the standard error of the difference under one common rate."""
    together = control + treatment
    rate = together.mean
    return math.sqrt(rate * (1 - rate) * (1 / control.n + 1 / treatment.n))


def wilson_interval(conversions: float, visitors: int, alpha: float) -> Interval:
    """Return Wilson's score interval for one proportion (Wilson 1927; Brown, Cai, DasGupta 2001, eq. 4).

    Raises:
        ValueError: visitors is 0, or alpha is outside (0, 1).
    """
    check_alpha(alpha)
    if visitors <= 0:
        raise ValueError("visitors must be positive")
    z2 = float(stats.norm.isf(alpha / 2)) ** 2
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


def _exact_p_value(control: Moments, treatment: Moments) -> tuple[float, str]:
    yes_a, yes_b = round(control.total), round(treatment.total)
    table = np.array([[yes_b, yes_a], [treatment.n - yes_b, control.n - yes_a]])
    if yes_a + yes_b in {0, control.n + treatment.n}:
        return 1.0, "boschloo"
    if control.n * treatment.n <= BOSCHLOO_TABLES:
        return min(1.0, float(stats.boschloo_exact(table, n=32).pvalue)), "boschloo"
    tails = (float(stats.fisher_exact(table, side)[1]) for side in ("less", "greater"))
    return min(1.0, 2 * min(tails)), "fisher"  # the smaller tail doubled, as Boschloo's does
