"""Whose behaviour is looked at, and how its texts become numbers before anything is counted.

Event names become bits and sources, devices and other traits small integers inside the engine, so that what a unit
has done so far is one integer and all events are counted in one scan, however many there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import ibis
import ibis.expr.types as ir

from optimizer.storage.events import EventStore, as_utc, naive_utc

MAXIMUM_EVENTS = 60  # bits of a 64-bit integer, sign and spares left
MAXIMUM_WEEKS = 8
TRAITS = ("source", "device")
MAXIMUM_VALUES = {"source": 6, "device": 4}
MAXIMUM_GROUPS = 12
OTHERS, NONE = "(others)", "(none)"
MONDAY = 3  # 1970-01-01 was a Thursday
DAY = 86_400
By = Literal["source", "medium", "campaign", "device", "country", "cohort"]


@dataclass(frozen=True, slots=True)
class Values:
    """A trait's most frequent values; their place is their number, all further ones share the last.

    Attributes:
        column: Of the events.
        names: Shown for each number.
    """

    column: str
    names: tuple[str, ...]

    def code(self, events: ir.Table) -> ir.IntegerValue:
        """Number each row's value."""
        value = events[self.column].fill_null(NONE)
        pairs = [(name, place) for place, name in enumerate(self.names[:-1])]
        last = ibis.literal(len(self.names) - 1, "int64")
        return value.cases(*pairs, else_=last).cast("int64") if pairs else last


@dataclass(frozen=True, slots=True)
class Cohort:
    """Which units are looked at, for how long, and what of them.

    Attributes:
        goal: Canonical name of the goal.
        window: From first seen to the end of the goal's window.
        start: First seen at or after; None is the beginning.
        end: First seen before; never later than now minus the window, so that every window has elapsed.
        events: Ranked event names, most frequent first; a name's place is its bit.
        unranked: Names beyond the 60 most frequent.
        traits: Source and device, numbered.
        group: What units are split by, numbered; None does not split, and a cohort is numbered by its month.
        by: The request's own word for it.
        oldest: When the first event of all was; None without any.
        first_week: The week (counted from 1970) in which the oldest event lies.
        weeks: How many calendar weeks one slice of stability takes.
    """

    goal: str
    window: dt.timedelta
    start: dt.datetime | None
    end: dt.datetime
    events: tuple[str, ...] = ()
    unranked: tuple[str, ...] = ()
    traits: dict[str, Values] = field(default_factory=dict)
    group: Values | None = None
    by: By | None = None
    oldest: dt.datetime | None = None
    first_week: int = 0
    weeks: int = 1

    @property
    def window_seconds(self) -> int:
        """Return the window in whole seconds."""
        return int(self.window.total_seconds())


def known_events(store: EventStore, project_id: int) -> ir.Table:
    """Return the events of units that are known, those without analytics consent left out."""
    events = store.events(project_id)
    return events.filter(events.unit_id != "")


def describe_cohort(
    store: EventStore,
    project_id: int,
    goal: str,
    window: dt.timedelta,
    bounds: tuple[dt.datetime | None, dt.datetime],
    *,
    by: By | None,
) -> Cohort:
    """Look at which names, values and weeks there are, in two small scans.

    Args:
        store: The event store.
        project_id: Of which project.
        goal: Canonical name.
        window: See `Cohort`.
        bounds: First seen at or after, and before.
        by: What to split by.
    """
    events = known_events(store, project_id)
    names = events.group_by("name").agg(
        n=events.count(), oldest=events.timestamp.min(), newest=events.timestamp.max()
    )
    rows = [row for row in names.to_pyarrow().to_pylist() if row["name"]]
    rows.sort(key=lambda row: (-row["n"], row["name"]))
    others = [row["name"] for row in rows if row["name"] != goal]
    oldest = min((row["oldest"] for row in rows), default=None)
    first, last = _week(oldest), _week(max((row["newest"] for row in rows), default=None))
    column = by if by not in {None, "cohort"} else None
    return Cohort(
        goal=goal,
        window=window,
        start=bounds[0],
        end=bounds[1],
        events=tuple(others[:MAXIMUM_EVENTS]),
        unranked=tuple(others[MAXIMUM_EVENTS:]),
        traits={trait: _values(events, trait, MAXIMUM_VALUES[trait]) for trait in TRAITS},
        group=_values(events, column, MAXIMUM_GROUPS) if column else None,
        by=by,
        oldest=oldest,
        first_week=first,
        weeks=-(-(last - first + 1) // MAXIMUM_WEEKS),
    )


def numbered_events(store: EventStore, project_id: int, cohort: Cohort) -> ir.Table:
    """Return events as numbers: unit_id, at (seconds since 1970), bit, is_goal, value, source, device, group."""
    events = known_events(store, project_id)
    bits = [(name, 1 << place) for place, name in enumerate(cohort.events)]
    nothing = ibis.literal(0, "int64")
    return events.select(
        "unit_id",
        "value",
        "timestamp",
        at=events.timestamp.epoch_seconds().cast("int64"),
        bit=events.name.cases(*bits, else_=nothing).cast("int64") if bits else nothing,
        is_goal=events.name == cohort.goal,
        group=cohort.group.code(events) if cohort.group else nothing,
        **{trait: values.code(events) for trait, values in cohort.traits.items()},
    )


def people(events: ir.Table, cohort: Cohort) -> ir.Table:
    """Return one row per unit: unit_id, first, goal_off (seconds to the first goal in the window, or null), month.

    Args:
        events: From `numbered_events`.
        cohort: Who is looked at.
    """
    seen = events.group_by("unit_id").agg(
        first=events["at"].min(),
        first_seen=events.timestamp.min(),
        goal_at=events["at"].min(where=events.is_goal),
    )
    seen = seen.filter(seen.first_seen < naive_utc(cohort.end))
    if cohort.start is not None:
        seen = seen.filter(seen.first_seen >= naive_utc(cohort.start))
    off = seen.goal_at - seen["first"]
    return seen.select(
        "unit_id",
        "first",
        goal_off=(off <= cohort.window_seconds).ifelse(off, ibis.null("int64")),
        month=(seen.first_seen.year().cast("int64") * 12 + seen.first_seen.month().cast("int64") - 1),
    )


def within_window(events: ir.Table, units: ir.Table, cohort: Cohort) -> ir.Table:
    """Return the units' events up to the end of their windows, each with `off`, its seconds since first seen.

    Args:
        events: From `numbered_events`.
        units: From `people`.
        cohort: Who is looked at.
    """
    joined = events.inner_join(units, "unit_id")
    joined = joined.mutate(off=joined["at"] - joined["first"])
    if cohort.by == "cohort":
        joined = joined.mutate(group=joined.month)
    return joined.filter(joined.off <= cohort.window_seconds)


def goal_known(store: EventStore, project_id: int, goal: str) -> bool:
    """Return whether anybody ever sent this event, or totals of it."""
    tables = (store.events(project_id), store.counts(project_id))
    return any(table.filter(table.name == goal).limit(1).count().to_pyarrow().as_py() for table in tables)


def _values(events: ir.Table, column: str, most: int) -> Values:
    counted = events.group_by(value=events[column].fill_null(NONE)).agg(n=events.count())
    rows = sorted(counted.to_pyarrow().to_pylist(), key=lambda row: (-row["n"], row["value"]))
    return Values(column, (*(row["value"] for row in rows[:most]), OTHERS))


def _week(moment: dt.datetime | None) -> int:
    return 0 if moment is None else (int(as_utc(moment).timestamp()) // DAY + MONDAY) // 7


def week_label(cohort: Cohort, place: int) -> str:
    """Return the Monday on which a slice of weeks begins, as a date."""
    days = (cohort.first_week + place * cohort.weeks) * 7 - MONDAY
    return (dt.date(1970, 1, 1) + dt.timedelta(days=days)).isoformat()


def group_label(cohort: Cohort, code: int) -> str:
    """Return what a group's number stands for."""
    if cohort.by == "cohort":
        return f"{code // 12:04d}-{code % 12 + 1:02d}"
    names: Sequence[str] = cohort.group.names if cohort.group else (NONE,)
    return names[code]
