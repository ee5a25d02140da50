"""The counts behind signals, all aggregated in the engine: one row per event name comes back, never an event.

Time at risk is respected by a landmark: what a unit did up to so many hours after it was first seen is held against
what it bought after that. Units that bought before the landmark leave both groups and are counted.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from optimizer.storage.events import EventStore, naive_utc


@dataclass(frozen=True, slots=True)
class Cohort:
    """Which units are looked at, and how long.

    Attributes:
        goal: Canonical name of the goal.
        window: From first seen to the end of the goal's window.
        start: First seen at or after; None is the beginning.
        end: First seen before; never later than `now` minus the window, so that every window has elapsed.
        by: Column to split units by, as it stood at their first event; None does not split.
    """

    goal: str
    window: dt.timedelta
    start: dt.datetime | None
    end: dt.datetime
    by: str | None = None


def units(store: EventStore, project_id: int, cohort: Cohort) -> ir.Table:
    """Return one row per unit: first seen, first goal within the window, goal value, and the group.

    Only the goal's occurrences after first seen count; `goal_at` is null for those who did not convert.
    """
    events = _known(store, project_id)
    events = events.mutate(segment=events[cohort.by] if cohort.by else ibis.literal("all"))
    first = events.group_by("unit_id").agg(
        first=events.timestamp.min(), segment=events.segment.argmin(events.timestamp, where=events.segment.notnull())
    )
    first = first.filter(first.first < naive_utc(cohort.end))
    if cohort.start is not None:
        first = first.filter(first.first >= naive_utc(cohort.start))
    goals = events.filter(events.name == cohort.goal).select("unit_id", goal_time="timestamp", goal_value="value")
    within = first.inner_join(goals, "unit_id").filter(lambda t: t.goal_time <= t.first + _interval(cohort.window))
    reached = within.group_by("unit_id").agg(goal_at=within.goal_time.min())
    joined = first.left_join(reached, "unit_id")
    return joined.select("unit_id", "first", "goal_at", segment=joined.segment.fill_null("(none)"))


def landmark_candidates(people: ir.Table, hours: tuple[float, ...]) -> tuple[int, list[tuple[float, int]]]:
    """Count converters, and those after each candidate landmark."""
    after = {
        f"h{place}": (people.goal_at > people.first + _interval(dt.timedelta(hours=value))).cast("int64").sum()
        for place, value in enumerate(hours)
    }
    [row] = people.agg(converters=people.goal_at.notnull().cast("int64").sum(), **after).to_pyarrow().to_pylist()
    return row["converters"] or 0, [(value, row[f"h{place}"] or 0) for place, value in enumerate(hours)]


def totals(
    store: EventStore, project_id: int, cohort: Cohort, people: ir.Table, landmark: dt.timedelta
) -> list[dict[str, Any]]:
    """Sum up each group: all units, units at risk, converters after the landmark, and their goal value."""
    marked = _marked(people, landmark)
    valued = marked.left_join(_goal_values(store, project_id, cohort, people, landmark), "unit_id")
    found = valued.group_by("segment").agg(
        all_units=valued.count(),
        all_converters=valued.goal_at.notnull().cast("int64").sum(),
        early=valued.early.cast("int64").sum(),
        at_risk=(~valued.early).cast("int64").sum(),
        converters=valued.converted.cast("int64").sum(),
        value=valued.value_after.fill_null(0.0).sum(),
        valued=valued.value_after.notnull().cast("int64").sum(),
    )
    rows: list[dict[str, Any]] = found.order_by("segment").to_pyarrow().to_pylist()
    return rows


def per_event(
    store: EventStore, project_id: int, cohort: Cohort, people: ir.Table, landmark: dt.timedelta
) -> list[dict[str, Any]]:
    """Count, per group and event, who did it and who converted: by the landmark, naively, and before the goal."""
    events = _known(store, project_id)
    events = events.filter(events.name != cohort.goal).select("unit_id", "name", "timestamp")
    marked = _marked(people, landmark).left_join(_goal_values(store, project_id, cohort, people, landmark), "unit_id")
    marked = marked.select([name for name in marked.columns if name != "unit_id_right"])
    seen = marked.inner_join(events, "unit_id").filter(lambda t: t.timestamp <= t.first + _interval(cohort.window))
    did = seen.group_by(["segment", "unit_id", "name"]).agg(
        first_done=seen.timestamp.min(),
        first=seen["first"].min(),
        goal_at=seen.goal_at.min(),
        early=seen.early.any(),
        converted=seen.converted.any(),
        value_after=seen.value_after.max(),
    )
    by_landmark = (did.first_done <= did["first"] + _interval(landmark)) & ~did.early
    before_goal = did.goal_at.notnull() & (did.first_done <= did.goal_at)
    seconds = (did.goal_at.epoch_seconds() - did.first_done.epoch_seconds()).cast("float64")
    counted = did.group_by(["segment", "name"]).agg(
        units_with=by_landmark.cast("int64").sum(),
        converted_with=(by_landmark & did.converted).cast("int64").sum(),
        value_with=did.value_after.fill_null(0.0).sum(where=by_landmark),
        naive_with=did.count(),
        naive_converted=did.goal_at.notnull().cast("int64").sum(),
        before_goal=before_goal.cast("int64").sum(),
        median_seconds=seconds.median(where=before_goal),
    )
    rows: list[dict[str, Any]] = counted.order_by(["segment", "name"]).to_pyarrow().to_pylist()
    return rows


def _known(store: EventStore, project_id: int) -> ir.Table:
    events = store.events(project_id)
    return events.filter(events.unit_id != "")


def _marked(people: ir.Table, landmark: dt.timedelta) -> ir.Table:
    mark = people["first"] + _interval(landmark)
    return people.mutate(
        early=people.goal_at.notnull() & (people.goal_at <= mark),
        converted=people.goal_at.notnull() & (people.goal_at > mark),
    )


def _goal_values(
    store: EventStore, project_id: int, cohort: Cohort, people: ir.Table, landmark: dt.timedelta
) -> ir.Table:
    events = _known(store, project_id)
    goals = events.filter(events.name == cohort.goal).select("unit_id", goal_time="timestamp", goal_value="value")
    joined = people.inner_join(goals, "unit_id")
    after = joined.filter(
        joined.goal_time > joined["first"] + _interval(landmark),
        joined.goal_time <= joined["first"] + _interval(cohort.window),
    )
    return after.group_by("unit_id").agg(value_after=after.goal_value.sum())


def _interval(duration: dt.timedelta) -> ir.IntervalScalar:
    return ibis.interval(seconds=int(duration.total_seconds()))
