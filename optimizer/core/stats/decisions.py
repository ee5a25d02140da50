"""Turns figures into one of four actions, with reasons a person can check.

The order is the rule: broken data first, then harm, then success with every guardrail, then the end of the plan.
A guardrail is non-inferior when the one-sided interval of μ_b − (1 − m)·μ_a lies above 0: a margin on the control's
own mean, without a ratio (statistics page, "Decisions").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from optimizer.core.stats.comparison import Comparison, Method
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.sequential import one_sided_critical_value, rho_squared

Action = Literal["ship", "stop", "continue", "investigate"]


@dataclass(frozen=True, slots=True)
class Check:
    """One health check.

    Attributes:
        name: For example ``srm``.
        passed: False makes the decision `investigate`.
        p_value: Where the check has one.
        detail: One sentence with its numbers.
    """

    name: str
    passed: bool
    detail: str
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One guardrail of one arm.

    Attributes:
        metric: Its name.
        non_inferior: Whether the loss is shown to stay within the margin; None while it cannot be judged.
        detail: One sentence with its numbers.
    """

    metric: str
    non_inferior: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One arm that might be shipped.

    Attributes:
        primary: Its comparison on the primary metric.
        increase_is_good: Direction of the primary metric.
        guardrails: Judged guardrails.
    """

    primary: Comparison
    increase_is_good: bool = True
    guardrails: Sequence[Guardrail] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why; every reason is one sentence that names numbers."""

    action: Action
    reasons: tuple[str, ...]


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
    sign = 1 if increase_is_good else -1
    kept = 1 - sign * margin
    error = math.sqrt(treatment.variance / treatment.n + kept**2 * control.variance / control.n)
    n = control.n + treatment.n
    if method == "fixed":
        critical = float(stats.norm.isf(alpha))
    else:
        critical = one_sided_critical_value(n, alpha, rho_squared(2 * alpha, planned_pair))
    bound = sign * (treatment.mean - kept * control.mean) - critical * error
    return bound > 0, bound


def decide(
    checks: Sequence[Check], candidates: Sequence[Candidate], *, units: int, planned: float | None
) -> Decision:
    """Choose the action.

    Args:
        checks: Health checks.
        candidates: Every arm but the baseline.
        units: Units seen so far.
        planned: Planned total, if there is one.
    """
    broken = [check.detail for check in checks if not check.passed]
    if broken:
        return Decision("investigate", ("The data cannot be trusted yet.", *broken))
    winners = [candidate for candidate in candidates if _better(candidate) is True]
    winners.sort(key=lambda candidate: candidate.primary.p_value or 0.0)
    for candidate in winners:
        if all(guardrail.non_inferior for guardrail in candidate.guardrails):
            return Decision("ship", (_sentence(candidate), *(g.detail for g in candidate.guardrails)))
    if winners:
        held = [g.detail for g in winners[0].guardrails if not g.non_inferior]
        return Decision("continue", (_sentence(winners[0]), *held))
    if candidates and all(_better(candidate) is False for candidate in candidates):
        return Decision("stop", tuple(_sentence(candidate) for candidate in candidates))
    return _undecided(candidates, units, planned)


def _undecided(candidates: Sequence[Candidate], units: int, planned: float | None) -> Decision:
    waiting = [c.primary.detail for c in candidates if c.primary.status in {"too_early", "not_final", "empty"}]
    if planned is None:
        missing = "No planned size is given, so nothing says when to give up: POST /v1/plans gives one."
        reasons = [_sentence(c) for c in candidates if c.primary.status == "ok"]
        return Decision("continue", (*waiting, *reasons, missing))
    if units >= planned and not any(c.primary.status == "not_final" for c in candidates):
        reasons = [_sentence(candidate) for candidate in candidates]
        end = f"The planned {planned:,.0f} visitors are reached ({units:,}) and no difference is shown."
        return Decision("stop", (end, *reasons))
    more = f"{max(0, round(planned) - units):,} of {planned:,.0f} planned visitors are still to come."
    return Decision("continue", (*dict.fromkeys(waiting), more))


def _better(candidate: Candidate) -> bool | None:
    primary = candidate.primary
    if not primary.significant or primary.absolute is None:
        return None
    return (primary.absolute > 0) == candidate.increase_is_good


def _sentence(candidate: Candidate) -> str:
    primary = candidate.primary
    if primary.absolute is None or primary.absolute_interval is None:
        return f"{primary.variant}: {primary.detail}"
    low, high = primary.absolute_interval
    relative = f" ({primary.relative:+.1%})" if primary.relative is not None else ""
    verdict = {True: "is better than", False: "is worse than", None: "is not shown to differ from"}[
        _better(candidate)
    ]
    return (
        f"{primary.variant} {verdict} {primary.baseline}: {primary.absolute:+.4g}{relative}, "
        f"{primary.level or 0:.0%} interval {low:+.4g} to {high:+.4g}, p = {primary.adjusted_p_value or 0:.2g}."
    )
