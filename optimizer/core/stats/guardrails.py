"""Guardrails: metrics that a winner must not break.

Two one-sided questions on μ_b − (1 − m)·μ_a, without a ratio. Is the loss shown to stay within the margin m
(non-inferior)? Is it shown to exceed it (harmful)? The second has an error rate of its own and is always answered by
a confidence sequence, because harm is watched for at every look, whatever the design.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.design import Case, Design, Method
from optimizer.core.stats.figures import Figures, Measure, figures
from optimizer.core.stats.group_sequential import boundaries
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.sequential import (
    DEFAULT_PLANNED_PAIR,
    one_sided_critical_value,
    one_sided_p_value,
    rho_squared,
)
from optimizer.core.stats.statuses import status_of
from optimizer.core.stats.words import signed

HARM_ALPHA = 0.01
HOPELESS = 1e3  # a size a million times the present one is no advice


class Margin(NamedTuple):
    """What a guardrail tolerates and how sure one wants to be.

    Attributes:
        relative: Acceptable relative loss m in [0, 1).
        increase_is_good: Whether a loss is a decrease.
        power: Chance wanted to show non-inferiority where nothing is lost: `guarded_power` of the design's.
        harm_alpha: One-sided error rate of calling it harmful.
    """

    relative: float
    increase_is_good: bool = True
    power: float = 0.8
    harm_alpha: float = HARM_ALPHA


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One guardrail of one arm.

    Attributes:
        metric: Its name.
        non_inferior: Whether the loss is shown to stay within the margin; None while it cannot be judged.
        detail: One sentence with its numbers.
        harmful: Whether the loss is shown to exceed the margin.
        missing: Further units over all arms until non-inferiority has its power, where that can be said.
    """

    metric: str
    non_inferior: bool | None
    detail: str
    harmful: bool = False
    missing: int = 0


def guarded_power(power: float, guardrails: int) -> float:
    """Return the power that each guardrail and the primary need so that all hold together: 1 − β/(G + 1).

    Source:
        Schultzberg, Ankargren, Frånberg, "Risk-aware product decisions in A/B tests with multiple metrics" (2024).

    Raises:
        ValueError: power is outside (0, 1) or guardrails is negative.
    """
    if not 0 < power < 1:
        raise ValueError("power must lie strictly between 0 and 1")
    if guardrails < 0:
        raise ValueError("guardrails must not be negative")
    return 1 - (1 - power) / (guardrails + 1)


def guard(metric: str, case: Case, baseline: str, arm: str, margin: Margin) -> Guardrail:
    """Judge one guardrail of one arm, one-sided at half the design's alpha.

    Half, so that a guardrail is as strict as the side of a two-sided test that a winner has to pass.

    Args:
        metric: Its name, for the sentence.
        case: The guardrail's sums, measure and design.
        baseline: The arm to compare with.
        arm: The arm that might be shipped.
        margin: What is tolerated.

    Raises:
        ValueError: An arm is unknown, or the margin is outside [0, 1).
    """
    a, b = _place(case, baseline), _place(case, arm)
    plain = figures(case.row, case.measure, adjusted=False)
    status = status_of(case, plain, a, b)
    if status:
        return Guardrail(metric, None, f"Guardrail {metric}: {status.detail}", missing=status.missing)
    loss = _loss(figures(case.row, case.measure), a, b, margin)
    if loss.error == 0:
        return Guardrail(metric, None, f"Guardrail {metric}: nothing varies, so nothing can be shown.")
    planned = _planned(case, a, b)
    critical = _critical(case.design, loss.n, planned)
    bound = loss.kept - critical * loss.error
    harm = one_sided_p_value(-loss.kept / loss.error, loss.n, rho_squared(2 * margin.harm_alpha, planned))
    harmful, shown = harm < margin.harm_alpha, bound > 0
    verdict = (
        "is shown to exceed" if harmful else "is shown to stay within" if shown else "is not shown to stay within"
    )
    change, left = (
        (signed(loss.difference / loss.base, "+.2%"), f"{abs(bound) / loss.base:.2%}")
        if loss.base > 0
        else (signed(loss.difference), f"{abs(bound):.3g}")
    )
    figures_shown = f"change {change}, the bound {left} {'inside' if shown else 'beyond'} it"
    detail = f"Guardrail {metric}: a loss {verdict} its margin of {margin.relative:.1%} ({figures_shown})."
    whole = float(case.row.n.sum()) / loss.n
    missing = 0 if shown or harmful else math.ceil(whole * _missing(loss, critical, margin))
    return Guardrail(metric, shown and not harmful, detail, harmful, missing)


def harm_p_value(difference: float, standard_error: float, n: float, planned_pair: float, alpha: float) -> float:
    """Return the anytime-valid p-value against "not worse": for stopping an arm that hurts the primary metric.

    Args:
        difference: μ_b − μ_a where a decrease is harm; else μ_a − μ_b.
        standard_error: Of the difference.
        n: Units of the pair.
        planned_pair: N*.
        alpha: The error rate it will be held against; tunes the sequence.
    """
    return one_sided_p_value(-difference / standard_error, n, rho_squared(2 * alpha, planned_pair))


def non_inferiority(
    control: Moments,
    treatment: Moments,
    margin: float,
    alpha: float,
    *,
    method: Method,
    planned_pair: float,
    increase_is_good: bool = True,
) -> tuple[bool, float]:
    """Judge that no more than the share m of the control's mean is lost, one-sided at alpha.

    Args:
        control: Moments with a variance.
        treatment: Moments with a variance.
        margin: Acceptable relative loss m in [0, 1).
        alpha: One-sided error rate in (0, .5).
        method: ``fixed`` or ``sequential``.
        planned_pair: N*, used by ``sequential``.
        increase_is_good: Whether a loss is a decrease; else it is an increase above (1 + m) times the control's mean.

    Returns:
        Whether it is shown, and the lower bound of μ_b − (1 − m)·μ_a, or of (1 + m)·μ_a − μ_b.
    """
    row = CrossMoments.of_moments("value", {"a": control, "b": treatment})
    loss = _loss(figures(row, Measure("mean", "value")), 0, 1, Margin(margin, increase_is_good))
    bound = loss.kept - _critical(Design(method, 2 * alpha, None), loss.n, planned_pair) * loss.error
    return bound > 0, bound


class _Loss(NamedTuple):
    """μ_b − (1 − m)·μ_a, turned so that above 0 is good."""

    kept: float
    error: float
    n: float
    tolerated: float
    difference: float
    base: float


def _loss(found: Figures, a: int, b: int, margin: Margin) -> _Loss:
    if not 0 <= margin.relative < 1:
        raise ValueError("margin must lie in [0, 1)")
    sign = 1 if margin.increase_is_good else -1
    share = 1 - sign * margin.relative
    mean_a, mean_b = float(found.mean[a]), float(found.mean[b])
    variance = float(found.variance[b] / found.n[b] + share**2 * found.variance[a] / found.n[a])
    kept = sign * (mean_b - share * mean_a)
    tolerated, difference = margin.relative * mean_a, mean_b - mean_a
    n, base = float(found.n[a] + found.n[b]), float(found.base[a])
    return _Loss(kept, math.sqrt(variance), n, tolerated, difference, base)


def _critical(design: Design, n: float, planned: float) -> float:
    """Return how many standard errors a one-sided bound at half of the design's alpha extends."""
    if design.method == "sequential":
        return one_sided_critical_value(n, design.alpha / 2, rho_squared(design.alpha, planned))
    if design.method == "group_sequential":
        looks = design.looks or (min(1.0, n / planned),)
        return float(boundaries(looks, np.array([design.alpha]), design.spending)[-1, 0])
    return float(-special.ndtri(design.alpha / 2))


def _missing(loss: _Loss, critical: float, margin: Margin) -> int:
    """Return the units the pair still needs to show non-inferiority with its power where nothing is lost."""
    if loss.tolerated <= 0:
        return 0
    wanted = (critical + float(special.ndtri(margin.power))) * loss.error / loss.tolerated
    if wanted > HOPELESS:
        return 0
    return max(0, math.ceil(loss.n * (wanted**2 - 1)))


def _planned(case: Case, a: int, b: int) -> float:
    if case.design.planned_total is None:
        return DEFAULT_PLANNED_PAIR
    weights = [case.weights.get(name, 1.0) for name in case.row.arms]
    return max(1.0, case.design.planned_total * (weights[a] + weights[b]) / sum(weights))


def _place(case: Case, arm: str) -> int:
    if arm not in case.row.arms:
        raise ValueError(f"{arm} is not one of the arms {', '.join(case.row.arms)}")
    return case.row.arms.index(arm)
