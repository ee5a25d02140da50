"""How events become numbers of a unit: told apart by name, properties and span, and counted once for all metrics."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir

from optimizer.experiments.cohort import UNIT_COLUMNS
from optimizer.experiments.columns import KNOWN, Column, Group
from optimizer.storage.events import EventStore, naive_utc


def matching(
    store: EventStore,
    project_id: int,
    unit: str,
    groups: Sequence[Group],
    period: tuple[dt.datetime, dt.datetime],
) -> ir.Table:
    """Return the events that may count: whose, when, the code of its name, its value, and a flag per condition.

    Args:
        store: The event store.
        project_id: The project.
        unit: A key of `UNIT_COLUMNS`.
        groups: Metrics.
        period: First and last moment.
    """
    names = _names(groups)
    events = store.events(project_id)
    events = events.filter(
        events.name.isin(names), events.timestamp >= literal(period[0]), events.timestamp <= literal(period[1])
    )
    asked = [column for _, column in columns_of(groups) if column.where]
    flags = {_flag(column): store.has_properties(events, column.where) for column in asked}
    code = ibis.cases(*[(events.name == name, place) for place, name in enumerate(names)])
    return events.select(
        "value", who=events[UNIT_COLUMNS[unit]], at=events.timestamp, code=code.cast("int16"), **flags
    )


def told_apart(seen: ir.Table, groups: Sequence[Group]) -> ir.Table:
    """Number each unit's events by name and span.

    Args:
        seen: Columns of `matching`, with the unit's `first` exposure and, per group, `end{place}` of its window.
        groups: Metrics.

    Returns:
        Also `key{place}` per group (even in the window, odd before the exposure, −1 elsewhere) and whether `early`.
    """
    keys = {f"key{group.place}": _span_of(seen, group) for group in groups}
    return seen.mutate(**keys, early=seen["at"] < seen["first"])


def counted(seen: ir.Table, groups: Sequence[Group]) -> dict[str, ir.Value]:
    """Return the aggregates of one unit's events that all columns are made of, by name."""
    base: dict[_Number, ir.Value] = {}
    for group, column in columns_of(groups):
        number = _Number.of(group, column)
        base.setdefault(number, number.over(seen, _names(groups).index(column.event)))
    history = {KNOWN: seen.count(where=seen.early)} if any(group.with_history for group in groups) else {}
    return {name: base[number] for number, name in _named(groups).items()} | history


def before_entry(groups: Sequence[Group]) -> set[str]:
    """Return which of the numbers of `counted` are of the days before the exposure."""
    return {KNOWN} | {name for number, name in _named(groups).items() if number.before}


def valued(units: ir.Table, groups: Sequence[Group], prefix: str = "") -> dict[str, ir.Value]:
    """Return every column of every group, made of the numbers of `counted`; caps are not applied.

    Args:
        units: The numbers.
        groups: Metrics.
        prefix: What the numbers' names begin with.
    """
    named = _named(groups)
    columns: dict[str, ir.Value] = {}
    for group, column in columns_of(groups):
        value = units[prefix + named[_Number.of(group, column)]]
        limited = value.clip(upper=1) if column.kind == "proportion" else value
        columns[at(group, column.name)] = limited.cast("float64")
    for group in groups:
        if group.with_history:
            columns[at(group, KNOWN)] = units[prefix + KNOWN].clip(upper=1).cast("float64")
    return columns


def columns_of(groups: Sequence[Group]) -> list[tuple[Group, Column]]:
    """Return every column with its group."""
    return [(group, column) for group in groups for column in group.columns]


def at(group: Group, name: str) -> str:
    """Return a column's name among those of all groups."""
    return f"{name}_{group.place}"


def pair(group: Group, one: str, other: str) -> str:
    """Return the name of a sum of products."""
    return f"{one}_{other}_{group.place}"


def squares(group: Group) -> list[tuple[str, str]]:
    """Return the columns whose squares have to be summed: the square of 0 or 1 is itself."""
    return [(column.name, column.name) for column in group.columns if column.kind != "proportion"]


def midnight(day: dt.date) -> dt.datetime:
    """Return when a UTC day begins."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def literal(moment: dt.datetime) -> ir.TimestampScalar:
    """Return a moment as the engines know it."""
    return ibis.literal(naive_utc(moment))


class _Number(NamedTuple):
    """What is counted or added up once, however many columns are made of it."""

    place: int
    event: str
    flag: str
    of_value: bool
    before: bool

    @classmethod
    def of(cls, group: Group, column: Column) -> _Number:
        """Return what a column is made of; the time before the exposure is the same for every group."""
        flag = _flag(column) if column.where else ""
        return cls(0 if column.before else group.place, column.event, flag, column.kind == "sum", column.before)

    def over(self, seen: ir.Table, code: int) -> ir.Value:
        """Return it as an aggregate of a unit's events."""
        when = seen[f"key{self.place}"] == (2 * code + self.before)
        if self.flag:
            when &= seen[self.flag]
        return seen.value.sum(where=when).fill_null(0.0) if self.of_value else seen.count(where=when)


def _named(groups: Sequence[Group]) -> dict[_Number, str]:
    numbers = dict.fromkeys(_Number.of(group, column) for group, column in columns_of(groups))
    return {number: f"number{place}" for place, number in enumerate(numbers)}


def _span_of(seen: ir.Table, group: Group) -> ir.IntegerValue:
    inside = (seen["at"] >= seen["first"]) & (seen["at"] <= seen[f"end{group.place}"])
    key = ibis.cases((inside, 2 * seen.code), (seen["at"] < seen["first"], 2 * seen.code + 1), else_=-1)
    number: ir.IntegerValue = key.cast("int16")
    return number


def _names(groups: Sequence[Group]) -> list[str]:
    return sorted({column.event for _, column in columns_of(groups)})


def _flag(column: Column) -> str:
    wanted = sorted((name, type(value).__name__, str(value)) for name, value in column.where.items())
    return f"has {wanted}"
