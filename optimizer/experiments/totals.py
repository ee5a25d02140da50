"""Experiments of which only daily totals per variant are known: the sums of cookieless tools.

The reserved name `visit` carries each variant's visitors; a metric's event its visitors, occurrences and value. What
totals cannot tell (a window counted from the exposure, properties, caps, ratios' variances) is refused by name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.core.stats.cross import CrossMoments
from optimizer.experiments.columns import Group, plan_groups
from optimizer.experiments.metrics import Resolved
from optimizer.storage.events import EventStore
from optimizer.storage.tables import Experiment, Metric

VISIT = "visit"
NOTE = "From daily totals: somebody who comes on two days counts as two visitors, once a day."
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Totals:
    """What daily totals give.

    Attributes:
        visitors: Day → variant → visitors.
        groups: The metrics that they can give, each a group of its own.
        days: Place of a group → day → sums.
        refused: The other metrics, and why.
        notes: What a reader must know.
    """

    visitors: dict[dt.date, dict[str, int]]
    groups: list[Group]
    days: dict[int, dict[dt.date, CrossMoments]]
    refused: dict[str, str]
    notes: tuple[str, ...]


def read_totals(
    store: EventStore, experiment: Experiment, metrics: Mapping[str, Resolved], *, as_of: dt.datetime
) -> Totals | None:
    """Read an experiment's daily totals of whole days before `as_of`; None when there are none."""
    if experiment.started_at is None:
        return None
    counts = store.counts(experiment.project_id)
    end = min(as_of, experiment.stopped_at) if experiment.stopped_at else as_of
    own = counts.filter(
        counts.experiment == experiment.key,
        counts.date >= experiment.started_at.date(),
        counts.date < end.date(),
        counts.dimensions == "{}",
    )
    rows = own.to_pyarrow().to_pylist()
    arms = tuple(variant["key"] for variant in experiment.variants)
    rows = [row for row in _of_one_system(rows) if row["variant"] in arms]
    if not any(row["name"] == VISIT for row in rows):
        return None
    days = sorted({row["date"] for row in rows if row["name"] == VISIT})
    visitors = {day: {arm: round(_sum(rows, VISIT, day, arm, "visitors") or 0) for arm in arms} for day in days}
    refused = {key: why for key, found in metrics.items() if (why := _why_not(found.metric))}
    for key, found in metrics.items():
        if key not in refused and found.metric.type == "proportion" and _too_many(rows, found.metric, visitors):
            refused[key] = "On some day more visitors converted than came (`visit`): one of the two totals is wrong."
    usable = {key: found for key, found in metrics.items() if key not in refused}
    groups = [_single(place, key, found) for place, (key, found) in enumerate(usable.items())]
    sums = {
        group.place: {day: _row(rows, found.metric, group, day, visitors[day]) for day in days}
        for group, found in zip(groups, usable.values(), strict=True)
    }
    notes = (NOTE, *_said_of_covariates(experiment))
    return Totals(visitors, groups, sums, refused, notes)


def _single(place: int, key: str, found: Resolved) -> Group:
    [group] = plan_groups({key: found}, 0, None)
    measure = {key: replace(group.measures[key], converters=None)}
    return Group(place, None, group.columns, measure, (), {}, with_history=False)


def _said_of_covariates(experiment: Experiment) -> tuple[str, ...]:
    if not experiment.covariate_days:
        return ()
    return ("covariate_days has no effect: daily totals do not say what somebody did before.",)


def _of_one_system(rows: Rows) -> list[Mapping[str, Any]]:
    # Two tools that count the same visitors must not be added up: the one that saw more of them speaks.
    seen: dict[str, int] = {}
    for row in rows:
        if row["name"] == VISIT:
            seen[row["system"]] = seen.get(row["system"], 0) + row["visitors"]
    best = max(sorted(seen), key=seen.__getitem__, default=None)
    return [row for row in rows if row["system"] == best]


def _why_not(metric: Metric) -> str:
    reasons = (
        (metric.type == "quantile", "A quantile needs the number of every single occurrence"),
        (metric.type == "ratio", "A ratio's variance needs both its parts per visitor"),
        (metric.window_hours is not None, "A window is counted from each visitor's exposure"),
        (bool(metric.where), "Totals per event name do not say which properties it carried"),
        (metric.cap is not None, "A cap is on each visitor's number"),
    )
    return next((f"{why}; daily totals cannot give this metric." for holds, why in reasons if holds), "")


def _too_many(rows: Rows, metric: Metric, visitors: Mapping[dt.date, Mapping[str, int]]) -> bool:
    return any(
        (_sum(rows, metric.event, day, arm, "visitors") or 0) > came
        for day, by_arm in visitors.items()
        for arm, came in by_arm.items()
    )


def _row(rows: Rows, metric: Metric, group: Group, day: dt.date, visitors: Mapping[str, int]) -> CrossMoments:
    field = {"proportion": "visitors", "count": "occurrences", "sum": "value"}[metric.type]
    [column] = [column.name for column in group.columns]
    totals = [float(_sum(rows, metric.event, day, arm, field) or 0) for arm in visitors]
    squares = {
        "proportion": totals,
        "count": [float("nan") if amount else 0.0 for amount in totals],
        "sum": [_squares(rows, metric.event, day, arm, amount) for arm, amount in zip(visitors, totals, strict=True)],
    }[metric.type]
    arms = tuple(visitors)
    return CrossMoments.of_sums(
        arms, (column,), list(visitors.values()), [[amount] for amount in totals], {(column, column): squares}
    )


def _squares(rows: Rows, name: str, day: dt.date, arm: str, total: float) -> float:
    found = _sum(rows, name, day, arm, "value_squares")
    return (float("nan") if total else 0.0) if found is None else float(found)


def _sum(rows: Rows, name: str, day: dt.date, arm: str, field: str) -> float | None:
    own = [row[field] for row in rows if row["name"] == name and row["date"] == day and row["variant"] == arm]
    return None if not own or None in own else sum(own)
