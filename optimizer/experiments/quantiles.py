"""Quantile metrics of an experiment: order statistics and their clusters, found in the engine.

A quantile is no sum over units, so it cannot come out of the one scan that gives every other metric, nor be merged
from days: two queries a metric read it. The first ranks the occurrences of each arm and says how they are spread over
units; the second picks the two occurrences between which its error lies. Ranks are exact on every engine, where
ClickHouse's own `quantile()` samples, and no occurrence crosses into Python.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ibis
import ibis.expr.types as ir

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.findings import Comparison
from optimizer.core.stats.quantiles import Clusters, Quantile, outer_places, quantile_of, quantile_row
from optimizer.experiments.cohort import UNIT_COLUMNS, clean_people
from optimizer.experiments.counting import literal
from optimizer.experiments.metrics import VALUE, Resolved
from optimizer.storage.events import EventStore
from optimizer.storage.tables import Experiment, Metric

Cell = tuple[int, str]  # place of a variant, value of a dimension


def is_quantile(found: Resolved) -> bool:
    """Tell a metric that no sum over units gives."""
    return found.metric.type == "quantile"


def summable(metrics: Mapping[str, Resolved]) -> dict[str, Resolved]:
    """Return the metrics that are made of sums over units."""
    return {key: found for key, found in metrics.items() if not is_quantile(found)}


def read_quantiles(
    store: EventStore,
    experiment: Experiment,
    metrics: Mapping[str, Resolved],
    *,
    as_of: dt.datetime,
    split: ir.Table | None = None,
) -> dict[str, dict[str, CrossMoments]]:
    """Read every quantile among some metrics over mature units.

    Args:
        store: The event store.
        experiment: The design.
        metrics: Its metrics; those that are no quantiles are left out.
        as_of: Nothing later counts.
        split: Values of a dimension per unit (`unit`, `split`).

    Returns:
        Metric → value of the dimension (empty without one) → a row that `quantiles.QUANTILE` reads.
    """
    return {
        key: _read(store, experiment, found.metric, as_of, split)
        for key, found in metrics.items()
        if is_quantile(found)
    }


def nobody(arms: Sequence[str]) -> CrossMoments:
    """Return the row of no units."""
    return quantile_row(dict.fromkeys(arms, (0, None)))


def say_unadjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Say that covariates do not adjust a quantile."""
    detail = "Covariates do not adjust a quantile."
    return [
        replace(one, covariate="not_for_quantiles", detail=f"{one.detail} {detail}".strip()) for one in comparisons
    ]


def _read(
    store: EventStore, experiment: Experiment, metric: Metric, as_of: dt.datetime, split: ir.Table | None
) -> dict[str, CrossMoments]:
    people = _people(store, experiment, metric, as_of, split)
    ranked = _ranked(store, experiment, metric, people)
    level = metric.quantile or 0.5
    found = _spread(people, ranked, level).to_pyarrow().to_pylist()
    cells = {(row["arm"], row["split"]): row for row in found}
    clusters = {cell: _clusters(row) for cell, row in cells.items() if row["units"]}
    outer = _outer(ranked, {cell: outer_places(own, level) for cell, own in clusters.items()})
    arms = [variant["key"] for variant in experiment.variants]
    rows = {}
    for value in sorted({value for _, value in cells}):
        own: dict[str, tuple[int, Quantile | None]] = {}
        for place, arm in enumerate(arms):
            cell = (place, value)
            known = None
            if cell in clusters:
                known = quantile_of(cells[cell]["value"], outer.get(cell), clusters[cell], level)
            own[arm] = (cells[cell]["n"] if cell in cells else 0, known)
        rows[value] = quantile_row(own)
    return rows


def _people(
    store: EventStore, experiment: Experiment, metric: Metric, as_of: dt.datetime, split: ir.Table | None
) -> ir.Table:
    """Return mature units: `unit`, `arm`, `first` exposure, the `end` of what counts, and `split`."""
    people = clean_people(store, experiment.project_id, experiment, until=as_of)
    until: ir.Value = literal(min(as_of, experiment.stopped_at) if experiment.stopped_at else as_of)
    if metric.window_hours is not None:
        seconds = round(metric.window_hours * 3600)
        people = people.filter(people["first"] <= literal(as_of - dt.timedelta(seconds=seconds)))
        until = people["first"] + ibis.interval(seconds=seconds)
    people = people.mutate(end=until)
    if split is None:
        return people.mutate(split=ibis.literal(""))
    values = split.rename(whose="unit")
    joined = people.left_join(values, people.unit == values.whose)
    return joined.mutate(split=joined.split.fill_null("")).select(*people.columns, "split")


def _ranked(store: EventStore, experiment: Experiment, metric: Metric, people: ir.Table) -> ir.Table:
    """Return every occurrence that counts, with its place (from 0) among those of its arm and their number."""
    events = store.events(experiment.project_id)
    events = events.filter(events.name == metric.event)
    if experiment.started_at is not None:
        events = events.filter(events.timestamp >= literal(experiment.started_at))
    if metric.where:
        events = events.filter(store.has_properties(events, metric.where))
    amount = events["value"] if metric.of in {None, VALUE} else store.number_property(events, str(metric.of))
    events = events.select(who=events[UNIT_COLUMNS[experiment.unit]], at=events.timestamp, amount=amount)
    events = events.filter(events.amount.notnull())
    own = [people.unit == events.who, events["at"] >= people["first"], events["at"] <= people.end]
    seen = people.inner_join(events, own).select("unit", "arm", "split", "amount")
    cell = ["arm", "split"]
    return seen.mutate(
        place=ibis.row_number().over(ibis.window(group_by=cell, order_by="amount")),
        whole=seen.count().over(ibis.window(group_by=cell)),
    )


def _spread(people: ir.Table, ranked: ir.Table, level: float) -> ir.Table:
    """Return per arm and value of the dimension: units, the quantile, and sums of how occurrences are clustered."""
    last = (ranked.whole * (level * (1 - 1e-12))).ceil().cast("int64") - 1
    value = ranked.amount.max(where=ranked.place == ibis.greatest(last, 0))
    ranked = ranked.mutate(value=value.over(ibis.window(group_by=["arm", "split"])))
    own = ranked.group_by(who="unit").agg(
        value=ranked.value.max(),
        all=ranked.count().cast("float64"),
        below=(ranked.amount <= ranked.value).cast("float64").sum(),
    )
    units = people.left_join(own, people.unit == own.who)
    return units.group_by("arm", "split").agg(
        n=units.count(),
        units=units["all"].notnull().cast("int64").sum(),
        value=units["value"].max(),
        observations=units["all"].sum(),
        below=units.below.sum(),
        observations_squared=(units["all"] * units["all"]).sum(),
        below_squared=(units.below * units.below).sum(),
        product=(units["all"] * units.below).sum(),
    )


def _clusters(row: Mapping[str, Any]) -> Clusters:
    return Clusters(*(row[name] for name in Clusters._fields))


def _outer(ranked: ir.Table, places: Mapping[Cell, tuple[int, int] | None]) -> dict[Cell, tuple[float, float]]:
    """Pick two occurrences of each cell by their places."""
    wanted = {cell: pair for cell, pair in places.items() if pair is not None}
    if not wanted:
        return {}
    here = {cell: (ranked.arm == cell[0]) & (ranked.split == cell[1]) for cell in wanted}
    low, high = (
        ibis.cases(*[(here[cell], pair[side]) for cell, pair in wanted.items()], else_=-1) for side in (0, 1)
    )
    ends = ranked.filter((ranked.place == low) | (ranked.place == high))
    found = ends.group_by("arm", "split").agg(low=ends.amount.min(), high=ends.amount.max())
    return {(row["arm"], row["split"]): (row["low"], row["high"]) for row in found.to_pyarrow().to_pylist()}
