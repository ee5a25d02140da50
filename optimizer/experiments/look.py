"""One look at an experiment: every metric compared by the same code as `POST /v1/analyses`, checks, a decision."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from optimizer.core.stats.comparison import Case, Comparison, Design, compare_cases
from optimizer.core.stats.decisions import Candidate, Goal, decide
from optimizer.core.stats.findings import turned
from optimizer.core.stats.group_sequential import is_due
from optimizer.core.stats.guardrails import HARM_ALPHA, Guardrail, Margin, guard, guarded_power
from optimizer.core.stats.multiplicity import benjamini_hochberg, holm
from optimizer.core.stats.quantiles import QUANTILE
from optimizer.experiments.answers import (
    GoalForecast,
    MetricResult,
    ResultAnswer,
    SeriesPoint,
    check_answers,
    comparison_answer,
    decision_answer,
    ratio_check,
    variant_answers,
)
from optimizer.experiments.cohort import Exposed
from optimizer.experiments.finished import total
from optimizer.experiments.forecast import Learned, forecast_goal, learn
from optimizer.experiments.gather import Gathered, gather
from optimizer.experiments.harm import watch_harm
from optimizer.experiments.health import exposure_checks, warnings_of
from optimizer.experiments.metrics import Kind, Resolved
from optimizer.experiments.progress import against_plan, pace_of
from optimizer.experiments.quantiles import say_unadjusted
from optimizer.experiments.series import effect_by_day
from optimizer.experiments.surrogates import add_context
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, Metric

Role = Literal["primary", "goal", "secondary", "guardrail"]


@dataclass(frozen=True, slots=True)
class Examined:
    """One metric of one look.

    Attributes:
        metric: The metric.
        role: What it is for.
        case: Its sums; None where counts cannot give them.
        comparisons: Every variant but the first one against it.
    """

    metric: Metric
    role: Role
    case: Case | None
    comparisons: list[Comparison]


def examine(
    stores: Stores,
    experiment: Experiment,
    metrics: Mapping[str, Resolved],
    exposed: Exposed,
    *,
    as_of: dt.datetime,
    looks: tuple[float, ...] = (),
) -> ResultAnswer:
    """Compute the result as of a cut-off; the same data and cut-off give the same result.

    Args:
        stores: Both stores.
        experiment: The design.
        metrics: Its metrics.
        exposed: Who was exposed by the cut-off.
        as_of: The cut-off.
        looks: For group_sequential: share of the plan at each look taken before.
    """
    gathered = gather(stores, experiment, metrics, exposed, as_of=as_of)
    weights = weights_of(experiment)
    rows = {group.place: total(gathered.days[group.place], gathered.arms, group) for group in gathered.groups}
    design, spent = plan_looks(experiment, gathered, looks)
    cases = {
        key: Case(rows[group.place], measure, design, weights)
        for group in gathered.groups
        for key, measure in group.measures.items()
    } | {key: Case(row, QUANTILE, design, weights) for key, row in gathered.quantiles.items()}
    examined = compare_all(experiment, metrics, cases, gathered.refused)
    examined = [replace(found, comparisons=_awaited(found, gathered)) for found in examined]
    if experiment.covariate_days:
        examined = [
            replace(found, comparisons=say_unadjusted(found.comparisons))
            if found.metric.type == "quantile"
            else found
            for found in examined
        ]
    if spent.missing:
        examined = [replace(found, comparisons=_between_looks(found.comparisons, spent)) for found in examined]
    result = _conclude(experiment, gathered, examined, spent, learn(stores.control, experiment), as_of=as_of)
    add_context(stores.events, experiment, metrics, cases, result)
    return result


def weights_of(experiment: Experiment) -> dict[str, float]:
    """Return the share of traffic per variant."""
    return {variant["key"]: float(variant["weight"]) for variant in experiment.variants}


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a group sequential test stands.

    Attributes:
        looks: Share of the plan at each look taken, this one included if it is one.
        missing: Units until the next planned look; 0 if this is one, or the method has no planned looks.
    """

    looks: tuple[float, ...] = ()
    missing: int = 0


def plan_looks(experiment: Experiment, gathered: Gathered, looks: tuple[float, ...]) -> tuple[Design, Spent]:
    """Return the design as of this look: a planned look spends error rate, and between them nothing is spent."""
    method: Literal["fixed", "sequential", "group_sequential", "bayesian"] = experiment.method  # type: ignore[assignment] # checked when stored
    design = Design(method, experiment.alpha, experiment.planned_visitors)
    if method != "group_sequential" or not experiment.planned_visitors or not experiment.planned_looks:
        return design, Spent()
    units = gathered.units_of(experiment.primary_metric)
    share = min(1.0, units / experiment.planned_visitors)
    spending: Literal["obrien_fleming", "pocock"] = experiment.spending  # type: ignore[assignment] # checked when stored
    due = is_due(share, looks, experiment.planned_looks)
    so_far = (*looks, share) if due else looks
    place = len(so_far) + (not due)
    missing = 0 if due else -int(-experiment.planned_visitors * place // experiment.planned_looks) - units
    shown = so_far if due else (*looks, share) if share > max(looks, default=0.0) else looks
    return replace(design, looks=shown, spending=spending), Spent(so_far, max(0, missing))


def compare_all(
    experiment: Experiment,
    metrics: Mapping[str, Resolved],
    cases: Mapping[str, Case],
    refused: Mapping[str, str],
) -> list[Examined]:
    """Compare every metric in every role it has.

    Args:
        experiment: The design.
        metrics: Its metrics.
        cases: Sums per metric.
        refused: Metrics without sums, and why.
    """
    baseline = experiment.variants[0]["key"]
    # Secondary metrics are a field to look over; every other metric answers a question of its own.
    named = roles_of(experiment)
    families = [[key] for role, key in named if role != "secondary"] + [list(experiment.secondary_metrics)]
    found: dict[tuple[str, bool], list[Comparison]] = {}
    for place, family in enumerate(families):
        secondary = place == len(families) - 1
        known = [key for key in family if key in cases]
        adjust = benjamini_hochberg if secondary else holm
        compared = compare_cases([cases[key] for key in known], baseline, adjust)
        found.update({(key, secondary): own for key, own in zip(known, compared, strict=True)})
    others = [variant["key"] for variant in experiment.variants[1:]]
    examined: list[Examined] = []
    for role, key in named:
        blank = [Comparison(name, baseline, "not_in_counts", refused.get(key, "")) for name in others]
        own = as_good(metrics[key].metric, found.get((key, role == "secondary"), blank))
        examined.append(Examined(metrics[key].metric, role, cases.get(key), own))
    return examined


def as_good(metric: Metric, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Let chances to win and losses speak of what is good: of a metric that shall fall, to be lower."""
    return [turned(one) if metric.direction == "decrease" else one for one in comparisons]


def roles_of(experiment: Experiment) -> list[tuple[Role, str]]:
    """Return every metric in every role that it has, the primary first."""
    named: list[tuple[Role, list[str]]] = [
        ("primary", [experiment.primary_metric]),
        ("goal", [experiment.goal_metric] if experiment.goal_metric else []),
        ("secondary", experiment.secondary_metrics),
        ("guardrail", [rail["metric"] for rail in experiment.guardrail_metrics]),
    ]
    return [(role, key) for role, keys in named for key in keys]


def metric_answer(found: Examined, exposed: Mapping[str, int], series: Sequence[SeriesPoint] = ()) -> MetricResult:
    """Give one metric the shape of the contract."""
    kind: Kind = found.metric.type  # type: ignore[assignment] # checked when it was stored
    return MetricResult(
        metric=found.metric.key,
        role=found.role,
        type=kind,
        quantile=found.metric.quantile,
        of=found.metric.of,
        variants=variant_answers(found.case, kind, exposed) if found.case else [],
        comparisons=[comparison_answer(comparison) for comparison in found.comparisons],
        series=list(series),
    )


def _candidate(
    experiment: Experiment, primary: Examined, examined: list[Examined], comparison: Comparison
) -> Candidate:
    rising = primary.metric.direction == "increase"
    rails = [one for one in examined if one.role == "guardrail"]
    margins = [rail["margin_relative"] for rail in experiment.guardrail_metrics]
    power = guarded_power(experiment.power, len(rails))
    guardrails = [
        _guardrail(rail, comparison, Margin(margin, rail.metric.direction == "increase", power))
        for rail, margin in zip(rails, margins, strict=True)
    ]
    harm = watch_harm(primary.case, comparison, rising=rising) if primary.case else None
    goal = next((one for one in examined if one.role == "goal" and one.metric.key != primary.metric.key), None)
    return Candidate(comparison, rising, guardrails, harm, HARM_ALPHA, _goal(goal, comparison) if goal else None)


def _goal(goal: Examined, comparison: Comparison) -> Goal:
    rising = goal.metric.direction == "increase"
    [own] = [one for one in goal.comparisons if one.variant == comparison.variant]
    return Goal(own, rising, watch_harm(goal.case, own, rising=rising) if goal.case else None)


def _guardrail(rail: Examined, comparison: Comparison, margin: Margin) -> Guardrail:
    name = rail.metric.key
    if rail.case is None:
        return Guardrail(name, None, f"Guardrail {name}: {rail.comparisons[0].detail}")
    return guard(name, rail.case, comparison.baseline, comparison.variant, margin)


def _between_looks(comparisons: list[Comparison], spent: Spent) -> list[Comparison]:
    detail = f"Between two planned looks: the next one is {spent.missing:,} visitors away."
    return [
        replace(found, status="not_final", detail=detail, missing=spent.missing, significant=False)
        if found.status == "ok"
        else found
        for found in comparisons
    ]


def _awaited(found: Examined, gathered: Gathered) -> list[Comparison]:
    """Say of an arm that has units, none of whose windows is over, when the first will be."""
    window = found.metric.window_hours
    if window is None or not gathered.units_by_day or not min(gathered.units.values()):
        return found.comparisons
    ready = min(gathered.units_by_day) + dt.timedelta(days=math.ceil(window / 24))
    detail = f"No unit of an arm has had its window of {window:,.4g} hours yet: the first were exposed on "
    detail += f"{min(gathered.units_by_day)} and count from {ready} on."
    return [replace(one, detail=detail) if one.status == "empty" else one for one in found.comparisons]


def _conclude(
    experiment: Experiment,
    gathered: Gathered,
    examined: list[Examined],
    spent: Spent,
    learned: Learned,
    *,
    as_of: dt.datetime,
) -> ResultAnswer:
    primary = next(found for found in examined if found.role == "primary")
    goal = next((found for found in examined if found.role == "goal"), None)
    weights = weights_of(experiment)
    checks = [ratio_check(gathered.units, weights, experiment.method), *exposure_checks(gathered)]
    found = decide(
        checks,
        [_candidate(experiment, primary, examined, comparison) for comparison in primary.comparisons],
        units=gathered.units_of(experiment.primary_metric),
        planned=experiment.planned_visitors,
        pace=pace_of(experiment, gathered, primary.metric.window_hours, as_of=as_of),
    )
    return ResultAnswer(
        method=experiment.method,
        alpha=experiment.alpha,
        units=gathered.units,
        checks=check_answers(checks),
        metrics=[metric_answer(one, gathered.units, _series(gathered, one)) for one in examined],
        decision=decision_answer(found, _forecast(experiment, primary, goal, learned)),
        warnings=[*warnings_of(experiment, gathered, primary.case, as_of=as_of), *_drift(learned)],
        plan=against_plan(experiment, gathered, primary.case, as_of=as_of),
        information=list(spent.looks),
    )


def _forecast(
    experiment: Experiment, primary: Examined, goal: Examined | None, learned: Learned
) -> GoalForecast | None:
    if goal is None or primary.metric.type == "quantile":  # a quantile's effect is no share of what people do
        return None
    alike = primary.metric.direction == goal.metric.direction
    return forecast_goal(experiment, primary.comparisons, goal.comparisons, goal.case, learned, alike=alike)


def _drift(learned: Learned) -> list[str]:
    return [learned.score.warning] if learned.score is not None and learned.score.warning else []


def _series(gathered: Gathered, one: Examined) -> list[SeriesPoint]:
    if one.role not in {"primary", "goal"} or one.case is None:
        return []
    return effect_by_day(one.case, gathered.days_of(one.metric.key))
