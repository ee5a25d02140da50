"""Asymptotic confidence sequences: intervals that stay valid however often one looks.

Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", arXiv 2103.06476, theorem 2.2 (two-sided) and its one-sided form. n is the number of units *of the pair
compared*, N* the planned number, fixed before the first look.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from optimizer.core.stats.effects import Effect, Floats, check_alpha
from optimizer.core.stats.figures import Family
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.pairs import (
    Judged,
    Pairs,
    monitored_variance,
    normal_answer,
    pair_of,
    single_effect,
)

DEFAULT_PLANNED_PAIR = 5_000.0
EXPECTED_CONVERSIONS = 25  # gate for proportions: expected in the smaller arm
FARTHEST = 1e150  # standard errors whose square is still a float
CONVERTERS = 100  # gate for sums: units with a value, in the smaller arm


def rho_squared(alpha: float, planned_pair: float) -> float:
    """Return ρ², which makes the sequence tightest at N* units of the pair.

    Raises:
        ValueError: alpha is outside (0, 1) or planned_pair is not positive.
    """
    check_alpha(alpha)
    if planned_pair <= 0:
        raise ValueError("planned_pair must be positive")
    return float(tuned(alpha, np.array(planned_pair)))


def tuned(alpha: float, planned: Floats) -> Floats:
    """Return ρ² for many plans at once; see `rho_squared`."""
    log = -2 * math.log(alpha)
    rho2: Floats = (log + math.log1p(log)) / planned
    return rho2


def judge_sequentially(pairs: Pairs, alpha: Floats, design_alpha: float) -> Judged:
    """Compare pairs under continuous monitoring.

    Args:
        pairs: Pairs past the gate of their family.
        alpha: Per pair, level of the interval is 1 − alpha.
        design_alpha: What the sequence is tuned to, also where an adjusted interval is asked for.
    """
    return _judge(pairs, alpha, tuned(design_alpha, pairs.planned))


def _judge(pairs: Pairs, alpha: Floats, rho2: Floats) -> Judged:
    variance = monitored_variance(pairs)
    p = p_values(pairs.difference / np.sqrt(variance), pairs.n, rho2)
    names = ["asymptotic_confidence_sequence"] * len(p)
    return normal_answer(pairs, variance, critical_values(pairs.n, alpha, rho2), p, names)


def critical_values(n: Floats, alpha: Floats, rho2: Floats) -> Floats:
    """Return half-widths in standard errors at n units of the pair (two-sided, level 1 − alpha)."""
    nr = n * rho2
    widths: Floats = np.sqrt((nr + 1) / nr * (np.log1p(nr) - 2 * np.log(alpha)))
    return widths


def p_values(standardised: Floats, n: Floats, rho2: Floats) -> Floats:
    """Return anytime-valid two-sided p-values of effects of `standardised` standard errors."""
    nr = n * rho2
    square = np.minimum(np.abs(standardised), FARTHEST) ** 2
    found: Floats = np.exp(-np.maximum(nr * square / (2 * (nr + 1)) - 0.5 * np.log1p(nr), 0.0))
    return found


def critical_value(n: float, alpha: float, rho2: float) -> float:
    """Return the half-width in standard errors at n units of the pair (two-sided, level 1 − alpha)."""
    return float(critical_values(np.array(n), np.array(alpha), np.array(rho2)))


def p_value(standardised: float, n: float, rho2: float) -> float:
    """Return the anytime-valid two-sided p-value of an effect of `standardised` standard errors."""
    return float(p_values(np.array(standardised), np.array(n), np.array(rho2)))


def one_sided_critical_value(n: float, alpha: float, rho2: float) -> float:
    """Return the one-sided half-width in standard errors at n units of the pair; tune rho2 with 2·alpha."""
    nr = n * rho2
    return math.sqrt(2 * (nr + 1) / nr * math.log1p(math.sqrt(nr + 1) / (2 * alpha)))


def one_sided_p_value(standardised: float, n: float, rho2: float) -> float:
    """Return the anytime-valid p-value against "not above 0" of an effect of `standardised` standard errors."""
    if standardised <= 0:
        return 1.0
    nr = n * rho2
    exponent = nr * min(standardised, FARTHEST) ** 2 / (2 * (nr + 1))
    log_p = 0.5 * math.log1p(nr) - math.log(2) - (exponent + math.log(-math.expm1(-exponent)))
    return min(1.0, math.exp(min(0.0, log_p)))


def sequential_proportions(control: Moments, treatment: Moments, alpha: float, rho2: float) -> Effect:
    """Compare two proportions under continuous monitoring, with the larger of pooled and unpooled standard error.

    Args:
        control: 0/1 moments of the control.
        treatment: 0/1 moments of the treatment.
        alpha: Level of the interval is 1 − alpha.
        rho2: `rho_squared` of the plan, fixed before the first look.

    Raises:
        ValueError: An arm is empty, nothing varies, or an argument is out of range.
    """
    return _single(control, treatment, "proportion", alpha, rho2)


def sequential_means(control: Moments, treatment: Moments, alpha: float, rho2: float) -> Effect:
    """Compare two means under continuous monitoring; arguments as in `sequential_proportions`.

    Raises:
        ValueError: An arm has fewer than two units, nothing varies, or an argument is out of range.
    """
    if min(control.n, treatment.n) <= 1:
        raise ValueError("a variance needs n of at least 2")
    return _single(control, treatment, "mean", alpha, rho2)


def single_look_power(effect: float, standard_error: float, critical: float) -> float:
    """Return the power of one look: 1 − Φ(k − d/SE) + Φ(−k − d/SE), a lower bound for monitoring."""
    shift = effect / standard_error
    return float(special.ndtr(shift - critical) + special.ndtr(-critical - shift))


def _single(control: Moments, treatment: Moments, family: Family, alpha: float, rho2: float) -> Effect:
    pair = pair_of(control, treatment, family)
    if monitored_variance(pair)[0] == 0:
        raise ValueError("control and treatment have no variance")
    return single_effect(_judge(pair, np.array([alpha]), np.array([rho2])))
