"""From exposures and events to moments, aggregated in the engine: per variant a handful of numbers comes back.

A unit counts from its first exposure, once, in one variant. Units seen in two variants are left out and counted;
so are exposures to variants that the design does not know and exposures without the design's kind of id.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from optimizer.core.stats.comparison import Arm
from optimizer.core.stats.moments import Moments
from optimizer.storage.events import EventStore, naive_utc
from optimizer.storage.tables import Experiment, Metric

UNIT_COLUMNS = {"user": "unit_id", "anonymous": "anonymous_id", "session": "session_id"}


@dataclass(frozen=True, slots=True)
class Exposed:
    """Who was exposed.

    Attributes:
        units: Clean units per variant of the design.
        mixed: Units seen in more than one variant.
        unknown: Units seen only in variants that the design does not know.
        unidentified: Exposures without the design's kind of id.
    """

    units: Mapping[str, int]
    mixed: int
    unknown: int
    unidentified: int


def count_exposed(store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime) -> Exposed:
    """Count the units first exposed between the experiment's start and `until` (or its stop)."""
    people = _people(store, project_id, experiment, until=until)
    keys = [variant["key"] for variant in experiment.variants]
    rows = people.group_by("variant", "mixed").agg(n=people.count()).to_pyarrow().to_pylist()
    clean = {row["variant"]: row["n"] for row in rows if not row["mixed"]}
    shown = _shown(store, project_id, experiment, until)
    column = shown[UNIT_COLUMNS[experiment.unit]]
    nameless = shown.filter(column.isnull() | (column == "")).count().to_pyarrow().as_py()
    return Exposed(
        units={key: clean.get(key, 0) for key in keys},
        mixed=sum(row["n"] for row in rows if row["mixed"]),
        unknown=sum(n for variant, n in clean.items() if variant not in keys),
        unidentified=nameless,
    )


def metric_arms(
    store: EventStore, project_id: int, experiment: Experiment, metric: Metric, *, as_of: dt.datetime
) -> dict[str, Arm]:
    """Sum up one metric per variant, over the units that are mature at `as_of`.

    With a window, a unit is mature once the window since its first exposure has elapsed, and events in the window
    count. Without one, every exposed unit counts, with its events up to `as_of` or the stop.
    """
    per_unit = _per_unit(store, project_id, experiment, metric, as_of)
    found = per_unit.group_by("variant").agg(
        n=per_unit.count(),
        total=per_unit.x.sum(),
        squares=(per_unit.x * per_unit.x).sum(),
        converters=(per_unit.x > 0).cast("int64").sum(),
    )
    rows = {row["variant"]: row for row in found.to_pyarrow().to_pylist()}
    return {
        variant["key"]: _arm(rows.get(variant["key"]), metric, variant["weight"]) for variant in experiment.variants
    }


def _arm(row: Mapping[str, float] | None, metric: Metric, weight: float) -> Arm:
    if row is None:
        return Arm(Moments(0, 0.0, 0.0), weight)
    converters = None if metric.type == "proportion" else int(row["converters"])
    return Arm(Moments(int(row["n"]), float(row["total"]), float(row["squares"])), weight, converters)


def _per_unit(
    store: EventStore, project_id: int, experiment: Experiment, metric: Metric, as_of: dt.datetime
) -> ir.Table:
    people = _people(store, project_id, experiment, until=as_of)
    keys: Sequence[str] = [variant["key"] for variant in experiment.variants]
    people = people.filter(people.mixed == 0, people.variant.isin(keys))
    end = min(as_of, experiment.stopped_at) if experiment.stopped_at else as_of
    window = None if metric.window_hours is None else _seconds(metric.window_hours)
    if window is not None:
        people = people.filter(people["first"] + window <= _literal(as_of))
    events = store.events(project_id)
    column = UNIT_COLUMNS[experiment.unit]
    matching = events.filter(events.name == metric.event, store.has_properties(events, metric.where))
    matching = matching.select(unit=matching[column], at="timestamp", value="value")
    seen = people.inner_join(matching, "unit").filter(lambda t: t["at"] >= t["first"])
    seen = seen.filter(lambda t: t["at"] <= (t["first"] + window if window is not None else _literal(end)))
    amount = {
        "proportion": seen.count().clip(upper=1),
        "count": seen.count(),
        "sum": seen.value.fill_null(0.0).sum(),
    }
    did = seen.group_by("unit").agg(x=amount[metric.type].cast("float64"))
    joined = people.left_join(did, "unit")
    return joined.select("variant", x=joined.x.fill_null(0.0))


def _people(store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime) -> ir.Table:
    shown = _shown(store, project_id, experiment, until)
    shown = shown.mutate(unit=shown[UNIT_COLUMNS[experiment.unit]])
    named = shown.filter(shown.unit.notnull(), shown.unit != "")
    return named.group_by("unit").agg(
        variant=named.variant.min(),
        mixed=(named.variant.min() != named.variant.max()).cast("int8"),
        first=named.timestamp.min(),
    )


def _shown(store: EventStore, project_id: int, experiment: Experiment, until: dt.datetime) -> ir.Table:
    exposures = store.exposures(project_id)
    if experiment.started_at is None:
        return exposures.filter(ibis.literal(value=False))
    end = min(until, experiment.stopped_at) if experiment.stopped_at else until
    return exposures.filter(
        exposures.experiment == experiment.key,
        exposures.timestamp >= naive_utc(experiment.started_at),
        exposures.timestamp < naive_utc(end),
    )


def _seconds(hours: float) -> ir.IntervalScalar:
    return ibis.interval(seconds=round(hours * 3600))


def _literal(moment: dt.datetime) -> ir.TimestampScalar:
    return ibis.literal(naive_utc(moment))
