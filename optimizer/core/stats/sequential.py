"""Asymptotic confidence sequences: intervals that stay valid however often one looks.

Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences", arXiv 2103.06476, theorem 2.2 (two-sided) and its one-sided form. n is the number of units *of the pair
compared*, N* the planned number, fixed before the first look.
"""

from __future__ import annotations

import math

from scipy import stats

from optimizer.core.stats.effects import Effect, Interval, check_alpha
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.proportions import pooled_standard_error

DEFAULT_PLANNED_PAIR = 5_000.0
EXPECTED_CONVERSIONS = 25  # gate for proportions: expected in the smaller arm
CONVERTERS = 100  # gate for sums: units with a value, in the smaller arm


def rho_squared(alpha: float, planned_pair: float) -> float:
    """Return ρ², which makes the sequence tightest at N* units of the pair.

    Raises:
        ValueError: alpha is outside (0, 1) or planned_pair is not positive.
    """
    check_alpha(alpha)
    if planned_pair <= 0:
        raise ValueError("planned_pair must be positive")
    log = -2 * math.log(alpha)
    return (log + math.log1p(log)) / planned_pair


def critical_value(n: float, alpha: float, rho2: float) -> float:
    """Return the half-width in standard errors at n units of the pair (two-sided, level 1 − alpha)."""
    nr = n * rho2
    return math.sqrt((nr + 1) / nr * (2 * -math.log(alpha) + math.log1p(nr)))


def p_value(standardised: float, n: float, rho2: float) -> float:
    """Return the anytime-valid two-sided p-value of an effect of `standardised` standard errors."""
    nr = n * rho2
    log_e = nr * standardised**2 / (2 * (nr + 1)) - 0.5 * math.log1p(nr)
    return math.exp(-log_e) if log_e > 0 else 1.0


def one_sided_critical_value(n: float, alpha: float, rho2: float) -> float:
    """Return the one-sided half-width in standard errors at n units of the pair; tune rho2 with 2·alpha."""
    nr = n * rho2
    return math.sqrt(2 * (nr + 1) / nr * math.log1p(math.sqrt(nr + 1) / (2 * alpha)))


def one_sided_p_value(standardised: float, n: float, rho2: float) -> float:
    """Return the anytime-valid p-value against "not above 0" of an effect of `standardised` standard errors."""
    if standardised <= 0:
        return 1.0
    nr = n * rho2
    exponent = nr * standardised**2 / (2 * (nr + 1))
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
    p_a, p_b = control.mean, treatment.mean
    unpooled = math.sqrt(p_a * (1 - p_a) / control.n + p_b * (1 - p_b) / treatment.n)
    return _effect(control, treatment, max(unpooled, pooled_standard_error(control, treatment)), alpha, rho2)


def sequential_means(control: Moments, treatment: Moments, alpha: float, rho2: float) -> Effect:
    """Compare two means under continuous monitoring; arguments as in `sequential_proportions`.

    Raises:
        ValueError: An arm has fewer than two units, nothing varies, or an argument is out of range.
    """
    error = math.sqrt(control.variance / control.n + treatment.variance / treatment.n)
    return _effect(control, treatment, error, alpha, rho2)


def missing_conversions(control: Moments, treatment: Moments) -> int:
    """Return how many more conversions the smaller arm must expect before a proportion gets a verdict (0: none)."""
    rate = (control + treatment).mean if control.n + treatment.n else 0.0
    rarer = min(rate, 1 - rate)
    return max(0, math.ceil(EXPECTED_CONVERSIONS - min(control.n, treatment.n) * rarer - 1e-9))


def missing_converters(converters_a: int, converters_b: int) -> int:
    """Return how many more units with a value the smaller arm needs before a sum gets a verdict (0: none)."""
    return max(0, CONVERTERS - min(converters_a, converters_b))


def single_look_power(effect: float, standard_error: float, critical: float) -> float:
    """Return the power of one look: 1 − Φ(k − d/SE) + Φ(−k − d/SE), a lower bound for monitoring."""
    shift = effect / standard_error
    return float(stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift))


def _effect(control: Moments, treatment: Moments, error: float, alpha: float, rho2: float) -> Effect:
    if error == 0:
        raise ValueError("control and treatment have no variance")
    n = control.n + treatment.n
    difference = treatment.mean - control.mean
    critical = critical_value(n, alpha, rho2)
    interval = Interval(difference - critical * error, difference + critical * error)
    p = p_value(difference / error, n, rho2)
    return Effect(difference, error, interval, p, critical, "asymptotic_confidence_sequence")
