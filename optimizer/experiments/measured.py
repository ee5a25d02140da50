"""Baselines and traffic measured from a project's own data, for plans that bring none along."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import ibis

from optimizer.storage.events import EventStore, naive_utc

WINDOW_DAYS = 30
VISIT = "visit"


@dataclass(frozen=True, slots=True)
class Measured:
    """What the last 30 days show.

    Attributes:
        rates: Units that did it over all units seen, per event name; strictly between 0 and 1.
        daily_visitors: New units a day, or visitors a day where only daily totals are known.
    """

    rates: dict[str, float]
    daily_visitors: float | None


def measure(events: EventStore, project_id: int, names: Sequence[str], *, now: dt.datetime) -> Measured:
    """Measure rates from events, or from daily totals (`visit` is the denominator) when there are no events."""
    found = _from_events(events, project_id, names, now)
    return found if found.daily_visitors else _from_counts(events, project_id, names, now)


def _from_events(store: EventStore, project_id: int, names: Sequence[str], now: dt.datetime) -> Measured:
    events = store.events(project_id)
    since = naive_utc(now - dt.timedelta(days=WINDOW_DAYS))
    known = events.filter(events.unit_id != "", events.timestamp < naive_utc(now))
    first_seen = known.group_by("unit_id").agg(first=known.timestamp.min())
    new_units = first_seen.filter(first_seen.first >= since).count().to_pyarrow().as_py()
    recent = known.filter(known.timestamp >= since)
    flags = {f"did_{place}": (recent.name == name).any() for place, name in enumerate(names)}
    per_unit = recent.group_by("unit_id").agg(**flags)
    sums = {flag: per_unit[flag].cast("int64").sum() for flag in flags}
    [row] = per_unit.agg(units=per_unit.count(), **sums).to_pyarrow().to_pylist()
    rates = {name: row[f"did_{place}"] / row["units"] for place, name in enumerate(names) if row["units"]}
    return Measured(_usable(rates), new_units / WINDOW_DAYS if new_units else None)


def _from_counts(store: EventStore, project_id: int, names: Sequence[str], now: dt.datetime) -> Measured:
    counts = store.counts(project_id)
    since = (now - dt.timedelta(days=WINDOW_DAYS)).date()
    recent = counts.filter(counts.date >= since, counts.name.isin([VISIT, *names]), counts.experiment == "")
    # One system's totals may come whole and split by dimensions: only the whole ones are added up.
    whole = recent.filter(recent.dimensions == "{}")
    totals = whole.group_by("name").agg(visitors=whole.visitors.sum(), days=whole.date.nunique())
    found = {row["name"]: row for row in totals.order_by(ibis.desc("visitors")).to_pyarrow().to_pylist()}
    visits = found.get(VISIT)
    if not visits or not visits["visitors"]:
        return Measured({}, None)
    rates = {name: found[name]["visitors"] / visits["visitors"] for name in names if name in found}
    return Measured(_usable(rates), visits["visitors"] / visits["days"])


def _usable(rates: dict[str, float]) -> dict[str, float]:
    return {name: rate for name, rate in rates.items() if 0 < rate < 1}
