"""One scan of the events gives every metric's sums, per variant and day of first exposure or value of a dimension.

Aggregated in the engine, first per unit, then over units; what crosses into Python is a few numbers per variant and
day, however many events there are. The expressions are the same on every engine.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from optimizer.core.stats.cross import CrossMoments
from optimizer.experiments.cohort import clean_people
from optimizer.experiments.columns import KNOWN, Group
from optimizer.experiments.counting import (
    at,
    columns_of,
    counted,
    literal,
    matching,
    midnight,
    pair,
    squares,
    told_apart,
    valued,
)
from optimizer.storage.events import EventStore
from optimizer.storage.tables import Experiment

Rows = dict[Any, CrossMoments]


@dataclass(frozen=True, slots=True)
class Scan:
    """What is summed.

    Attributes:
        groups: Metrics, by shared window.
        as_of: Nothing later counts.
        since: Per group (by place) the first UTC day whose units are summed; earlier ones are known already.
        split: Values of a dimension per unit (`unit`, `split`), instead of days.
    """

    groups: Sequence[Group]
    as_of: dt.datetime
    since: Mapping[int, dt.date]
    split: ir.Table | None = None


def sum_up(store: EventStore, project_id: int, experiment: Experiment, scan: Scan) -> dict[int, Rows]:
    """Sum the groups' numbers over mature units.

    With a window, a unit is mature once the window since its first exposure has elapsed, and events in the window
    count. Without one, every exposed unit counts, with its events up to `as_of` or the stop.

    Returns:
        Place of the group → day (or dimension value) → sums per variant.
    """
    units = _per_unit(store, project_id, experiment, scan)
    key = "day" if scan.split is None else "split"
    if scan.split is not None:
        values = scan.split.rename(whose="unit")
        units = units.left_join(values, units.unit == values.whose)
        units = units.mutate(split=units.split.fill_null(""))
    if len(scan.groups) == 1:  # cheaper than asking it of every sum
        units = units.filter(units[f"in{scan.groups[0].place}"])
    units = _capped(units, scan.groups)
    sums = {name: value for group in scan.groups for name, value in _sums(units, group, alone=len(scan.groups) == 1)}
    found = units.group_by("arm", key).agg(**sums).to_pyarrow().to_pylist()
    arms = [variant["key"] for variant in experiment.variants]
    return {group.place: _rows(found, key, group, arms) for group in scan.groups}


def sum_together(
    store: EventStore, project_id: int, experiment: Experiment, groups: Sequence[Group], *, as_of: dt.datetime
) -> CrossMoments:
    """Sum all metrics and all their products over the units whose every window has elapsed.

    Where groups are summed apart each has its own units; what metrics say of each other needs the same units.

    Returns:
        Sums per variant; the columns are the metrics' keys.
    """
    since = (experiment.started_at or as_of).date()
    units = _per_unit(store, project_id, experiment, Scan(groups, as_of, {group.place: since for group in groups}))
    units = _capped(units.filter(*(units[f"in{group.place}"] for group in groups)), groups)
    names = {key: at(group, measure.value) for group in groups for key, measure in group.measures.items()}
    pairs = list(itertools.combinations_with_replacement(names, 2))
    sums = {f"sum{place}": units[name].sum() for place, name in enumerate(names.values())}
    products = {f"pair{place}": (units[names[a]] * units[names[b]]).sum() for place, (a, b) in enumerate(pairs)}
    found = units.group_by("arm").agg(n=units.count(), **sums, **products).to_pyarrow().to_pylist()
    by_arm = {row["arm"]: row for row in found}
    arms = [variant["key"] for variant in experiment.variants]

    def each(name: str) -> list[float]:
        return [float(by_arm[place][name] or 0) if place in by_arm else 0.0 for place in range(len(arms))]

    totals = list(zip(*(each(name) for name in sums), strict=True))
    return CrossMoments.of_sums(
        arms, list(names), each("n"), totals, {pair: each(f"pair{place}") for place, pair in enumerate(pairs)}
    )


def _per_unit(store: EventStore, project_id: int, experiment: Experiment, scan: Scan) -> ir.Table:
    """Return one row a unit: `arm`, `day`, whether it is `in` each group, and every column of every group."""
    people = _people(store, project_id, experiment, scan)
    oldest = max(midnight(min(scan.since.values())), experiment.started_at or scan.as_of)
    period = (oldest - dt.timedelta(days=experiment.covariate_days), scan.as_of)
    events = matching(store, project_id, experiment.unit, scan.groups, period)
    # Told apart in the join: what is outside every span is never grouped.
    spans = [people.unit == events.who, events["at"] >= people.known_from, events["at"] <= people.until]
    seen = people.left_join(events, spans)
    seen = told_apart(seen, scan.groups)
    numbers = counted(seen, scan.groups)
    units = seen.group_by("unit").agg(arm=seen.arm.min(), first=seen["first"].min(), **numbers)
    columns = valued(units, scan.groups)
    for group in scan.groups:
        columns[f"in{group.place}"] = _mature(units, group, scan)
    return units.select("unit", "arm", day=units["first"].date(), **columns)


def _people(store: EventStore, project_id: int, experiment: Experiment, scan: Scan) -> ir.Table:
    """Return the units that some group sums, with the ends of the spans in which their events count."""
    since = midnight(min(scan.since.values()))
    people = clean_people(store, project_id, experiment, until=scan.as_of, since=since)
    windows = [group.window_hours for group in scan.groups]
    if None not in windows:
        shortest = dt.timedelta(hours=min(window or 0.0 for window in windows))
        people = people.filter(people["first"] <= literal(scan.as_of - shortest))
    end = min(scan.as_of, experiment.stopped_at) if experiment.stopped_at else scan.as_of
    ends = {
        f"end{group.place}": literal(end)
        if group.window_hours is None
        else people["first"] + ibis.interval(seconds=round(group.window_hours * 3600))
        for group in scan.groups
    }
    people = people.mutate(**ends, known_from=people["first"] - ibis.interval(days=experiment.covariate_days))
    return people.mutate(until=ibis.greatest(*(people[name] for name in ends)))


def _mature(units: ir.Table, group: Group, scan: Scan) -> ir.BooleanValue:
    inside = units["first"] >= literal(midnight(scan.since[group.place]))
    if group.window_hours is not None:
        inside &= units["first"] <= literal(scan.as_of - dt.timedelta(seconds=round(group.window_hours * 3600)))
    return inside


def _capped(units: ir.Table, groups: Sequence[Group]) -> ir.Table:
    limits: dict[str, ir.Value] = {}
    places: dict[str, ir.Value] = {}
    for group, column in columns_of(groups):
        name = at(group, column.name)
        if column.cap and "value" in column.cap:
            limits[name] = units[name].clip(upper=column.cap["value"])
        elif column.cap:
            # The ⌈p·n⌉-th smallest over all mature units: exact, and the same on every engine.
            order = [units[f"in{group.place}"].ifelse(0, 1), units[name]]
            places[f"place of {name}"] = ibis.row_number().over(order_by=order)
            places[f"count of {name}"] = units[f"in{group.place}"].cast("int64").sum().over()
    units = units.mutate(**limits, **places)
    for group, column in columns_of(groups):
        name = at(group, column.name)
        if f"place of {name}" in places and column.cap:
            share = column.cap["percentile"] * (1 - 1e-12)  # so that rounding does not reach for one more
            last = (units[f"count of {name}"] * share).ceil().cast("int64") - 1
            limit = units[name].max(where=units[f"place of {name}"] == last)
            units = units.mutate(**{f"limit of {name}": limit.over()})
            units = units.mutate(**{name: ibis.least(units[name], units[f"limit of {name}"])})
    return units


def _sums(units: ir.Table, group: Group, *, alone: bool) -> Iterator[tuple[str, ir.Value]]:
    inside = units[f"in{group.place}"]
    where = None if alone else inside
    yield f"n{group.place}", inside.cast("int64").sum()
    for name, of in group.converters.items():
        yield at(group, name), (inside & (units[at(group, of)] > 0)).cast("int64").sum()
    single = [column.name for column in group.columns] + ([KNOWN] if group.with_history else [])
    for name in single:
        yield at(group, name), units[at(group, name)].sum(where=where)
    for one, other in (*squares(group), *group.pairs):
        yield pair(group, one, other), (units[at(group, one)] * units[at(group, other)]).sum(where=where)


def _rows(found: Sequence[Mapping[str, Any]], key: str, group: Group, arms: Sequence[str]) -> Rows:
    cells: dict[Any, dict[int, Mapping[str, Any]]] = {}
    for row in found:
        if row[f"n{group.place}"]:
            cells.setdefault(row[key], {})[row["arm"]] = row
    return {value: _cross(group, arms, by_arm) for value, by_arm in sorted(cells.items())}


def _cross(group: Group, arms: Sequence[str], by_arm: Mapping[int, Mapping[str, Any]]) -> CrossMoments:
    def each(name: str) -> list[float]:
        return [float(by_arm[place][name] or 0) if place in by_arm else 0.0 for place in range(len(arms))]

    totals = [each(at(group, name)) for name in group.names]
    binary = {column.name for column in group.columns if column.kind == "proportion"} | {KNOWN, *group.converters}
    products = {(name, name): each(at(group, name)) for name in group.names if name in binary}
    products |= {(one, other): each(pair(group, one, other)) for one, other in (*squares(group), *group.pairs)}
    by_place = list(zip(*totals, strict=True))
    return CrossMoments.of_sums(arms, group.names, each(f"n{group.place}"), by_place, products)
