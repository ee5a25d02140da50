"""How far people went and what they brought then, summed in the engine: what values are learned from.

A person's journey begins with the first reported event; what was done from then until the goal, or until the window
ended, says how far it went. What the goal brought within the window is its value. Only journeys whose window has
elapsed are looked at.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from optimizer.core.value import Cell
from optimizer.storage.events import EventStore, naive_utc

LOOKED_BACK = dt.timedelta(days=182)
WEEK_SECONDS = 7 * 86_400
MAXIMUM_SOURCES = 8
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Journeys:
    """What people did and brought.

    Attributes:
        start: When week 0 begins.
        cells: People alike.
    """

    start: dt.datetime
    cells: list[Cell]


def read_journeys(
    store: EventStore, project_id: int, goal: str, names: Sequence[str], window: dt.timedelta, *, now: dt.datetime
) -> Journeys:
    """Sum up every journey that began in the last half year and whose window has elapsed.

    Args:
        store: The event plane.
        project_id: Whose events.
        goal: Canonical name of the goal.
        names: Reported events; a cell's `done` holds their places. The goal is none of them.
        window: From a journey's first event on.
        now: When windows must have elapsed.
    """
    start = now - window - LOOKED_BACK
    if not names:
        return Journeys(start, [])
    events = store.events(project_id)
    events = events.filter(
        events.unit_id != "", events.timestamp > naive_utc(start), events.timestamp <= naive_utc(now)
    )
    reported = events.filter(events.name.isin(list(names)))
    first = reported.group_by("unit_id").agg(
        begun=reported.timestamp.min(),
        source=reported.source.argmin(reported.timestamp, where=reported.source.notnull()),
    )
    first = first.filter(first.begun <= naive_utc(now - window))
    within = first.inner_join(events.select("unit_id", "name", "timestamp", "value"), "unit_id")
    elapsed = ibis.interval(seconds=int(window.total_seconds()))
    within = within.filter(within.timestamp >= within.begun, within.timestamp <= within.begun + elapsed)
    rows = _summed(_people(within, goal, names), start).to_pyarrow().to_pylist()
    kept = _most_common(rows)
    return Journeys(start, [_cell(row, len(names), kept) for row in rows])


def _people(within: ir.Table, goal: str, names: Sequence[str]) -> ir.Table:
    is_goal = within.name == goal
    firsts = {f"t{place}": _first(within, within.name == name) for place, name in enumerate(names)}
    people = within.group_by("unit_id").agg(
        begun=within.begun.min(),
        source=within.source.min(),
        reached=_first(within, is_goal),
        worth=within.value.fill_null(0.0).sum(where=is_goal),
        **firsts,
    )
    # What is done after the goal says nothing of what led there.
    done = {
        f"d{place}": (
            people[f"t{place}"].notnull() & (people.reached.isnull() | (people[f"t{place}"] <= people.reached))
        )
        .fill_null(False)  # noqa: FBT003 - Ibis' own signature
        .cast("int64")  # ClickHouse hands truth values over as numbers
        for place in range(len(names))
    }
    return people.select("begun", "source", worth=people.worth.fill_null(0.0), **done)


def _first(within: ir.Table, which: ir.BooleanValue) -> ir.TimestampValue:
    # Not `min(where=…)`: of nothing, ClickHouse makes the year 1970.
    found: ir.TimestampValue = which.ifelse(within.timestamp, ibis.null(within.timestamp.type())).min()
    return found


def _summed(people: ir.Table, start: dt.datetime) -> ir.Table:
    seconds = people.begun.epoch_seconds() - int(start.timestamp())
    people = people.mutate(
        week=(seconds.cast("float64") / WEEK_SECONDS).floor().cast("int64"),
        source=people.source.fill_null(""),
    )
    marks = [name for name in people.columns if name.startswith("d")]
    return people.group_by("week", "source", *marks).agg(
        units=people.count(), value=people.worth.sum(), squares=(people.worth * people.worth).sum()
    )


def _most_common(rows: Sequence[dict[str, Any]]) -> set[str]:
    counted: Counter[str] = Counter()
    for row in rows:
        counted[row["source"]] += row["units"]
    ranked = sorted(counted, key=lambda source: (-counted[source], source))
    return set(ranked[:MAXIMUM_SOURCES])


def _cell(row: dict[str, Any], events: int, kept: set[str]) -> Cell:
    done = frozenset(place for place in range(events) if row[f"d{place}"])
    source = row["source"] if row["source"] in kept else OTHER
    return Cell(row["week"], source, done, row["units"], row["value"], row["squares"])
