"""Plans a test on the goal and on its proxies side by side: what each costs in visitors and days.

A proxy's lift is not the goal's lift. Without past experiments to translate one into the other, the same relative
effect on both is assumed, and every answer says that this is an assumption, and an optimistic one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimizer.core.proxies.assessment import Assessment
from optimizer.core.stats.guardrails import guarded_power
from optimizer.core.stats.power import whole_weeks
from optimizer.core.stats.sizes import alpha_each
from optimizer.core.stats.targets import Target, shares
from optimizer.experiments.planning.measured import NOTHING, Measured
from optimizer.experiments.planning.past import Past, nothing_past
from optimizer.experiments.planning.proxy_sizes import visitors_for_goal_effect
from optimizer.experiments.planning.shapes import (
    AcceptedLoss,
    CurvePoint,
    Detectable,
    Monitored,
    PlannedMetric,
    PlannedTest,
    PlanRequest,
    PowerPoint,
    ProxyNote,
)
from optimizer.experiments.planning.sizing import (
    CURVE_POINTS,
    Plan,
    detectable_effect,
    effect_target,
    guardrail_target,
    power_curve,
    stopping,
    visitors_needed,
)
from optimizer.experiments.planning.subjects import Subject, subjects_of
from optimizer.experiments.planning.words import assumptions, proxy_warning, recommended, small_samples
from optimizer.experiments.proxy_ranks import ranked

CURVE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
WEEKS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
LOSS_OF_EFFECT = 1 / 20


@dataclass(frozen=True, slots=True)
class _Planner:
    request: PlanRequest
    plan: Plan
    weights: list[float]
    power: float
    daily: float | None
    past: Past


def plan(request: PlanRequest, measured: Measured = NOTHING, *, past: Past = nothing_past) -> PlannedTest:
    """Answer a plan.

    Args:
        request: The question.
        measured: What the project's own data show, used where the request gives nothing.
        past: What past experiments say of a proxy; where they say nothing equal relative effects are assumed.

    Raises:
        InvalidInputError: A metric has neither a given nor a measured baseline, or the effect is impossible.
    """
    subjects = subjects_of(request, measured)
    weights = list(request.weights or [1.0] * request.variants)
    splits = shares(weights)
    design = Plan(
        method=request.method,
        alpha=alpha_each(request.alpha, len(splits)),
        split=min(splits, key=lambda split: split.treatment),
        arms=len(weights),
        looks=tuple((look + 1) / request.looks for look in range(request.looks)),
        spending=request.spending,
        loss_relative=request.accepted_loss_relative or abs(request.relative_mde) * LOSS_OF_EFFECT,
    )
    power = guarded_power(request.power, len(request.guardrails))
    daily = request.daily_visitors or measured.daily_visitors
    planner = _Planner(request, design, weights, power, daily, past)
    goal = subjects[0]
    needed = _visitors(planner, goal)
    metrics = ranked([_metric(planner, subject, goal, needed) for subject in subjects], len(weights))
    return PlannedTest(
        method=request.method,
        alpha=request.alpha,
        power=request.power,
        variants=len(weights),
        weights=weights,
        daily_visitors=daily,
        metrics=metrics,
        recommended=recommended(metrics, len(weights)),
        curve=_curve(planner, goal),
        assumptions=[
            *assumptions(request, subjects, power, daily, design.loss_relative),
            *small_samples(subjects, metrics, request.method),
        ],
    )


def _target(planner: _Planner, subject: Subject) -> Target:
    if subject.margin is not None:
        return guardrail_target(subject.level, subject.margin, planner.plan, less_is_better=subject.less_is_better)
    return effect_target(subject.level, planner.request.relative_mde, planner.plan)


def _visitors(planner: _Planner, subject: Subject) -> float:
    return visitors_needed(_target(planner, subject), planner.plan, planner.power, subject.level)


def _arms(planner: _Planner, total: float) -> list[int]:
    whole = sum(planner.weights)
    return [math.ceil(total * weight / whole) for weight in planner.weights]


def _metric(planner: _Planner, subject: Subject, goal: Subject, goal_visitors: float) -> PlannedMetric:
    target, total = _target(planner, subject), _visitors(planner, subject)
    arms = _arms(planner, total)
    visitors = sum(arms)
    measure = subject.level
    curve = power_curve(target, planner.plan, total, measure)
    reached = curve[CURVE_POINTS.index(1.0)][1]
    return PlannedMetric(
        metric=subject.name,
        role=subject.role,
        kind="proportion" if measure.rate else "mean",
        baseline=measure.mean,
        standard_deviation=math.sqrt(measure.variance),
        basis="given" if subject.given else "measured",
        relative_mde=_effect(planner, subject),
        power=round(planner.power, 6),
        visitors_per_variant=math.ceil(visitors / len(arms)),
        arms=arms,
        visitors=visitors,
        days=_days(planner, visitors, subject),
        window_days=subject.window_days,
        speedup=round(goal_visitors / total, 2),
        proxy=_proxy_note(planner, subject, goal) if subject.role == "proxy" else None,
        sequential=_monitored(planner, subject, target, total, reached),
        bayesian=_loss(planner, subject, reached),
        power_curve=[PowerPoint(visitors=size, power=round(power, 4)) for size, power in curve],
        detectable=_detectable(planner, subject),
    )


def _judged(planner: _Planner, subject: Subject, goal: Subject, total: float) -> Assessment | None:
    split = planner.plan.split
    pair = 4.0 * total / (1.0 / split.control + 1.0 / split.treatment)  # two equal arms that are as precise
    return planner.past(subject.name, goal.name, pair)


def _effect(planner: _Planner, subject: Subject) -> float:
    if subject.margin is None:
        return planner.request.relative_mde
    return subject.margin if subject.less_is_better else -subject.margin


def _days(planner: _Planner, visitors: float, subject: Subject) -> int | None:
    return whole_weeks(math.ceil(visitors), planner.daily, subject.window_days) if planner.daily else None


def _proxy_note(planner: _Planner, subject: Subject, goal: Subject) -> ProxyNote:
    effect = planner.request.relative_mde * goal.level.mean
    total: float | None = _visitors(planner, subject)
    found = _judged(planner, subject, goal, total or 0.0)
    if found is not None and found.status == "ok":
        total = visitors_for_goal_effect(found, effect, subject.level, planner.plan, planner.power)
        if total is not None:
            found = _judged(planner, subject, goal, total)
    learned = found is not None and found.status == "ok"
    return ProxyNote(
        effect_basis="past_experiments" if learned else "assumed_equal",
        visitors_for_goal_effect=None if total is None else math.ceil(total / len(planner.weights)),
        days_for_goal_effect=None if total is None else _days(planner, total, subject),
        quality=found.quality if found is not None and learned else None,
        warning=proxy_warning(subject.name, goal.name, planner.request.relative_mde, found),
    )


def _monitored(
    planner: _Planner, subject: Subject, target: Target, total: float, last_look: float
) -> Monitored | None:
    found = stopping(target, planner.plan, total, subject.level)
    if found is None or subject.margin is not None:  # a guardrail does not stop a test that keeps it
        return None
    arms = len(planner.weights)
    return Monitored(
        power_at_last_look=round(last_look, 4) if planner.plan.method == "sequential" else None,
        simulated_power=round(found.power, 3),
        expected_visitors_per_variant=math.ceil(found.expected_units / arms),
        p90_visitors_per_variant=math.ceil(found.p90_units / arms),
        expected_days=_days(planner, found.expected_units, subject),
        p90_days=_days(planner, found.p90_units, subject),
    )


def _loss(planner: _Planner, subject: Subject, chance: float) -> AcceptedLoss | None:
    if planner.plan.method != "bayesian":
        return None
    relative = planner.plan.loss_relative
    return AcceptedLoss(relative=relative, absolute=relative * subject.level.mean, chance=round(chance, 4))


def _detectable(planner: _Planner, subject: Subject) -> list[Detectable]:
    if planner.daily is None or subject.margin is not None:
        return []
    sign = math.copysign(1.0, planner.request.relative_mde)
    points = []
    for weeks in WEEKS:
        visitors = int(7 * weeks * planner.daily)
        seen = None
        if visitors > len(planner.weights):
            seen = detectable_effect(subject.level, sign, planner.plan, planner.power, visitors)
        shown = None if seen is None else round(seen, 6)
        points.append(
            Detectable(days=7 * weeks + math.ceil(subject.window_days), visitors=visitors, relative_mde=shown)
        )
    return points


def _curve(planner: _Planner, goal: Subject) -> list[CurvePoint]:
    wanted = planner.request.relative_mde
    effects = sorted({*(math.copysign(effect, wanted) for effect in CURVE), wanted}, key=abs)
    points = []
    for effect in effects:
        if goal.level.rate and not 0 < goal.level.mean * (1 + effect) < 1:
            continue
        target = effect_target(goal.level, effect, planner.plan)
        arms = _arms(planner, visitors_needed(target, planner.plan, planner.power, goal.level))
        points.append(
            CurvePoint(
                relative_mde=effect,
                visitors_per_variant=math.ceil(sum(arms) / len(arms)),
                days=_days(planner, sum(arms), goal),
            )
        )
    return points
