"""One look at an experiment: every metric compared by the same code as `POST /v1/analyses`, checks, a decision."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from optimizer.core.stats.comparison import Arm, Comparison, Design, compare_family, planned_pair
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.decisions import Candidate, Check, Guardrail, decide, non_inferiority
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import benjamini_hochberg, holm
from optimizer.experiments.answers import (
    MetricAnswer,
    ResultAnswer,
    check_answers,
    comparison_answer,
    decision_answer,
    ratio_check,
    variant_answer,
)
from optimizer.experiments.cohort import Exposed, count_exposed
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.finished import sum_by_day, total
from optimizer.experiments.metrics import Resolved
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, Metric

Role = Literal["primary", "goal", "secondary", "guardrail"]
TOLERATED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Examined:
    """One metric of one look."""

    metric: Metric
    role: Role
    arms: Mapping[str, Arm]
    design: Design
    comparisons: list[Comparison]


def examine(
    stores: Stores, experiment: Experiment, metrics: Mapping[str, Resolved], *, as_of: dt.datetime
) -> ResultAnswer:
    """Compute the result as of a cut-off; the same data and cut-off give the same result."""
    exposed = count_exposed(stores.events, experiment.project_id, experiment, until=as_of)
    weights = {variant["key"]: float(variant["weight"]) for variant in experiment.variants}
    checks = [ratio_check(exposed.units, weights, experiment.method), *_exposure_checks(exposed)]
    groups = plan_groups(metrics, experiment.covariate_days, experiment.goal_metric)
    days = sum_by_day(stores, experiment, groups, exposed, as_of=as_of)
    arms = {}
    for group in groups:
        row = total(days[group.place], exposed.keys, group)
        arms.update({key: _arms(row, measure, weights) for key, measure in group.measures.items()})
    examined = _compare_all(experiment, metrics, arms)
    primary = next(found for found in examined if found.role == "primary")
    candidates = [
        Candidate(
            comparison,
            increase_is_good=primary.metric.direction == "increase",
            guardrails=_guardrails(experiment, examined, comparison.variant),
        )
        for comparison in primary.comparisons
    ]
    units = sum(arm.moments.n for arm in primary.arms.values())
    decision = decide(checks, candidates, units=units, planned=experiment.planned_visitors)
    return ResultAnswer(
        method=experiment.method,
        alpha=experiment.alpha,
        units=dict(exposed.units),
        checks=check_answers(checks),
        metrics=[_metric_answer(found) for found in examined],
        decision=decision_answer(decision),
    )


def _compare_all(
    experiment: Experiment, metrics: Mapping[str, Resolved], arms: Mapping[str, Mapping[str, Arm]]
) -> list[Examined]:
    named: list[tuple[Role, list[str]]] = [
        ("primary", [experiment.primary_metric]),
        ("goal", [experiment.goal_metric] if experiment.goal_metric else []),
        ("secondary", experiment.secondary_metrics),
        ("guardrail", [rail["metric"] for rail in experiment.guardrail_metrics]),
    ]
    baseline = experiment.variants[0]["key"]
    examined: list[Examined] = []
    for role, keys in named:
        cases = [(arms[key], _design(experiment, metrics[key].metric)) for key in keys]
        # Secondary metrics are a field to look over; every other metric answers a question of its own.
        together = role == "secondary"
        families = [cases] if together else [[case] for case in cases]
        adjust = benjamini_hochberg if together else holm
        found = [comparisons for family in families for comparisons in compare_family(family, baseline, adjust)]
        for key, (own, design), comparisons in zip(keys, cases, found, strict=True):
            examined.append(Examined(metrics[key].metric, role, own, design, comparisons))
    return examined


def _arms(row: CrossMoments, measure: Measure, weights: Mapping[str, float]) -> dict[str, Arm]:
    found = {}
    for place, name in enumerate(row.arms):
        converters = round(row.totals[place, row.place(measure.converters)]) if measure.converters else None
        found[name] = Arm(row.moments(name, measure.value), weights[name], converters)
    return found


def _design(experiment: Experiment, metric: Metric) -> Design:
    family: Literal["proportion", "mean"] = "proportion" if metric.type == "proportion" else "mean"
    method: Literal["fixed", "sequential"] = "fixed" if experiment.method == "fixed" else "sequential"
    return Design(method, experiment.alpha, experiment.planned_visitors, family)


def _guardrails(experiment: Experiment, examined: list[Examined], variant: str) -> list[Guardrail]:
    rails = [found for found in examined if found.role == "guardrail"]
    margins = [rail["margin_relative"] for rail in experiment.guardrail_metrics]
    baseline = experiment.variants[0]["key"]
    return [_guardrail(found, margin, baseline, variant) for found, margin in zip(rails, margins, strict=True)]


def _guardrail(found: Examined, margin: float, baseline: str, variant: str) -> Guardrail:
    name = found.metric.key
    comparison = next(one for one in found.comparisons if one.variant == variant)
    if comparison.status != "ok":
        detail = comparison.detail or f"cannot be judged: {comparison.status}"
        return Guardrail(name, None, f"Guardrail {name}: {detail}")
    shown, bound = non_inferiority(
        found.arms[baseline].moments,
        found.arms[variant].moments,
        margin,
        found.design.alpha,
        method=found.design.method,
        planned_pair=planned_pair(found.arms, baseline, variant, found.design),
        increase_is_good=found.metric.direction == "increase",
    )
    verdict = "is shown to stay" if shown else "is not shown to stay"
    return Guardrail(
        name, shown, f"Guardrail {name} {verdict} within its margin of {margin:.1%} (bound {bound:+.4g})."
    )


def _exposure_checks(exposed: Exposed) -> list[Check]:
    total = sum(exposed.units.values()) + exposed.mixed + exposed.unknown
    rows = (
        ("one_variant_per_unit", exposed.mixed, "units were seen in two variants and are left out"),
        ("known_variants", exposed.unknown, "units were seen only in variants that the design does not know"),
        (
            "identified_exposures",
            exposed.unidentified,
            "exposures carry no id of the experiment's unit and are left out",
        ),
    )
    return [
        Check(name, count <= TOLERATED_SHARE * total, f"{count:,} of {total:,} {what}; up to 1% is tolerated.")
        for name, count, what in rows
    ]


def _metric_answer(found: Examined) -> MetricAnswer:
    kind: Literal["proportion", "count", "sum", "ratio"] = found.metric.type  # type: ignore[assignment] # checked when it was stored
    return MetricAnswer(
        metric=found.metric.key,
        role=found.role,
        type=kind,
        variants=[variant_answer(name, arm, kind) for name, arm in found.arms.items()],
        comparisons=[comparison_answer(comparison) for comparison in found.comparisons],
    )
