"""Plans a test on the goal and on its proxies side by side: what each costs in visitors and days.

A proxy's lift is not the goal's lift. Without past experiments to translate one into the other, the same relative
effect on both is assumed, and every answer says that this is an assumption, and an optimistic one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from optimizer.core.naming import canonical_name
from optimizer.core.stats.power import (
    proportions_sample_size,
    sequential_sample_size,
    simulate_monitoring,
    whole_weeks,
)
from optimizer.errors import InvalidInputError, Problem

SEED = 20_080_310  # simulated power must not change when the same plan is asked for again
CURVE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


LEAST_RATE = 1e-9
LEAST_EFFECT = 1e-4


class PlanRequest(BaseModel):
    """A question: how many visitors does it take?"""

    model_config = ConfigDict(extra="forbid")

    goal: Name = Field(description="The macro conversion under study.")
    proxies: list[Name] = Field(default_factory=list, max_length=20, description="Micro conversions to compare.")
    relative_mde: float = Field(
        0.1, gt=-1, le=100, allow_inf_nan=False, description="Smallest relative effect worth finding; .1 is +10%."
    )
    alpha: Rate = Field(0.05, description="Two-sided error rate.")
    power: Rate = Field(0.8, description="Chance to find the effect when it is there.")
    method: Literal["fixed", "sequential"] = Field("fixed", description="One look at the end, or monitoring.")
    variants: int = Field(2, ge=2, le=20, description="Arms, the control included.")
    baselines: dict[Name, Rate] | None = Field(None, description="Rate per metric; measured when omitted.")
    daily_visitors: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="New eligible visitors a day; measured when omitted."
    )


class ProxyNote(BaseModel):
    """How far a proxy can be trusted to stand in for the goal."""

    effect_basis: Literal["past_experiments", "assumed_equal"] = Field(
        description="Where its effect size comes from."
    )
    visitors_for_goal_effect: int = Field(description="Visitors per variant that the goal's effect needs on it.")
    quality: float | None = Field(description="Noise-corrected quality; null without past experiments.")
    warning: str = Field(description="What a person must know before deciding by it.")


class Monitored(BaseModel):
    """What monitoring the test leads to, by simulation."""

    power_at_last_look: float = Field(description="Power of the last look alone: a lower bound.")
    simulated_power: float = Field(description="Power over 100 looks.")
    expected_visitors_per_variant: int = Field(description="Mean size at which the test stops.")
    p90_visitors_per_variant: int = Field(description="90th percentile of that size.")


class PlannedMetric(BaseModel):
    """One metric's cost."""

    metric: str
    role: Literal["goal", "proxy"]
    baseline: float
    relative_mde: float
    visitors_per_variant: int = Field(description="At this metric's own relative_mde.")
    visitors: int = Field(description="Over all variants.")
    days: int | None = Field(description="Whole weeks at the daily visitors; null when those are unknown.")
    speedup: float = Field(description="The goal's visitors over this metric's.")
    proxy: ProxyNote | None
    sequential: Monitored | None


class CurvePoint(BaseModel):
    """The goal's cost at another effect size."""

    relative_mde: float
    visitors_per_variant: int


class Recommended(BaseModel):
    """Which metric to plan on."""

    metric: str
    reason: str


class PlanAnswer(BaseModel):
    """The goal and its proxies side by side."""

    metrics: list[PlannedMetric]
    recommended: Recommended
    curve: list[CurvePoint]
    assumptions: list[str]


def plan(
    request: PlanRequest,
    measured: Mapping[str, float],
    measured_daily_visitors: float | None,
    *,
    window_days: int = 30,
) -> PlanAnswer:
    """Answer a plan.

    Args:
        request: The question.
        measured: Rates measured from the project's own data, used where the request gives none.
        measured_daily_visitors: New visitors a day measured from the project's data, if any.
        window_days: The period those were measured over, for the assumptions.

    Raises:
        InvalidInputError: A metric has neither a given nor a measured baseline, or the effect leaves (0, 1).
    """
    names = [canonical_name(request.goal), *(canonical_name(name) for name in request.proxies)]
    given = {canonical_name(name): rate for name, rate in (request.baselines or {}).items()}
    baselines = {name: given.get(name, measured.get(name, math.nan)) for name in names}
    _check(request, names, baselines)
    daily = request.daily_visitors or measured_daily_visitors
    goal_size = _size(request, baselines[names[0]], request.relative_mde)
    metrics = [
        _metric(request, name, "goal" if place == 0 else "proxy", baselines[name], goal_size, daily)
        for place, name in enumerate(names)
    ]
    assumptions = _assumptions(request, names, given, daily, window_days)
    return PlanAnswer(
        metrics=metrics,
        recommended=_recommended(metrics, daily),
        curve=_curve(request, baselines[names[0]]),
        assumptions=assumptions,
    )


def _check(request: PlanRequest, names: list[str], baselines: Mapping[str, float]) -> None:
    problems = []
    for place, name in enumerate(names):
        pointer = "/goal" if place == 0 else f"/proxies/{place - 1}"
        if not name or name in names[:place]:
            problems.append(Problem(pointer, "invalid_name", "Name every metric once, with a letter or a digit."))
        elif math.isnan(baselines[name]):
            detail = "Give its rate in `baselines`, or send events first: there is nothing to measure it from."
            problems.append(Problem(f"/baselines/{name}", "unknown_baseline", detail))
        elif baselines[name] < LEAST_RATE:
            detail = f"A rate below {LEAST_RATE:g} cannot be planned for."
            problems.append(Problem(f"/baselines/{name}", "too_small", detail))
        elif not 0 < baselines[name] * (1 + request.relative_mde) < 1:
            detail = "With this effect the rate would leave the range between 0 and 1."
            problems.append(Problem("/relative_mde", "impossible_effect", detail))
    if abs(request.relative_mde) < LEAST_EFFECT:
        detail = f"An effect below {LEAST_EFFECT:g} cannot be found: give a larger one to look for."
        problems.append(Problem("/relative_mde", "no_effect", detail))
    if problems:
        raise InvalidInputError(f"The plan cannot be made: {problems[0].detail}", problems)


def _size(request: PlanRequest, baseline: float, relative: float) -> int:
    size = sequential_sample_size if request.method == "sequential" else proportions_sample_size
    return math.ceil(size(baseline, baseline * (1 + relative), request.alpha / (request.variants - 1), request.power))


def _metric(  # noqa: PLR0917 - one row of the answer
    request: PlanRequest,
    name: str,
    role: Literal["goal", "proxy"],
    baseline: float,
    goal_size: int,
    daily: float | None,
) -> PlannedMetric:
    size = _size(request, baseline, request.relative_mde)
    total = size * request.variants
    return PlannedMetric(
        metric=name,
        role=role,
        baseline=baseline,
        relative_mde=request.relative_mde,
        visitors_per_variant=size,
        visitors=total,
        days=whole_weeks(total, daily) if daily else None,
        speedup=round(goal_size / size, 2),
        proxy=_proxy_note(request, name, size) if role == "proxy" else None,
        sequential=_monitored(request, baseline, size) if request.method == "sequential" else None,
    )


def _proxy_note(request: PlanRequest, name: str, size: int) -> ProxyNote:
    warning = (
        f"No past experiments link {name} to {canonical_name(request.goal)}: the same relative effect "
        f"({request.relative_mde:+.0%}) on both is assumed, which is optimistic. A win on the proxy is not yet a win "
        "on the goal: keep measuring the goal."
    )
    return ProxyNote(effect_basis="assumed_equal", visitors_for_goal_effect=size, quality=None, warning=warning)


def _monitored(request: PlanRequest, baseline: float, size: int) -> Monitored:
    from optimizer.core.stats.sequential import critical_value, rho_squared, single_look_power  # noqa: PLC0415

    target = baseline * (1 + request.relative_mde)
    alpha = request.alpha / (request.variants - 1)
    error = math.sqrt((baseline * (1 - baseline) + target * (1 - target)) / size)
    critical = critical_value(2 * size, alpha, rho_squared(alpha, 2 * size))
    found = simulate_monitoring((baseline, target), alpha, size, np.random.default_rng(SEED))
    return Monitored(
        power_at_last_look=round(single_look_power(abs(target - baseline), error, critical), 4),
        simulated_power=round(found.power, 3),
        expected_visitors_per_variant=found.expected_visitors_per_variant,
        p90_visitors_per_variant=found.p90_visitors_per_variant,
    )


def _recommended(metrics: list[PlannedMetric], daily: float | None) -> Recommended:
    goal, *proxies = metrics
    best = min(proxies, key=lambda metric: metric.visitors, default=None)
    if best is None or best.visitors >= goal.visitors:
        return Recommended(metric=goal.metric, reason=f"No proxy is faster than {goal.metric} itself.")
    if goal.days is not None and goal.days <= 28:  # noqa: PLR2004 - four weeks is what teams wait for anyway
        reason = f"The goal itself takes {goal.days} days: no proxy is worth its risk."
        return Recommended(metric=goal.metric, reason=reason)
    days = f" ({best.days} days instead of {goal.days})" if daily else ""
    reason = (
        f"{best.metric} needs {best.visitors_per_variant:,} visitors a variant instead of "
        f"{goal.visitors_per_variant:,}{days}, {best.speedup:g} times fewer, if its effect is as large as the goal's."
    )
    return Recommended(metric=best.metric, reason=reason)


def _curve(request: PlanRequest, baseline: float) -> list[CurvePoint]:
    sign = math.copysign(1, request.relative_mde)
    effects = sorted({*(sign * effect for effect in CURVE), request.relative_mde}, key=abs)
    return [
        CurvePoint(relative_mde=effect, visitors_per_variant=_size(request, baseline, effect))
        for effect in effects
        if 0 < baseline * (1 + effect) < 1
    ]


def _assumptions(
    request: PlanRequest, names: list[str], given: Mapping[str, float], daily: float | None, window_days: int
) -> list[str]:
    lines = [
        f"Two-sided test at α = {request.alpha:g}, power {request.power:g}, unpooled variance, equal arms.",
        f"The effect to find is {request.relative_mde:+.1%} of each metric's own baseline.",
    ]
    if request.variants > 2:  # noqa: PLR2004 - more than one comparison with the control
        lines.append(f"α is shared by {request.variants - 1} comparisons with the control (Bonferroni).")
    measured = [name for name in names if name not in given]
    if measured:
        lines.append(f"Measured over the last {window_days} days: the baselines of {', '.join(measured)}.")
    if request.method == "sequential":
        lines.append("Sizes are those at which the last look alone has the power; monitoring usually stops earlier.")
    if daily:
        lines.append(f"{daily:,.0f} new visitors a day, whole weeks; add the metric's own conversion window.")
    if request.proxies:
        lines.append("Proxies: the same relative effect as on the goal is assumed (no past experiments).")
    return lines
