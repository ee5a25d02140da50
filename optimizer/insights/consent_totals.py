"""Visits without consent where a cookieless tool counts everybody: its daily totals less the visitors who consented.

The tool's `visit` totals are visitors a day, so consented visits are counted alike: one per unit and UTC day. Where
it also counts the goal, conversions without consent are known as well.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import ibis

from optimizer.core.consent import Stratum
from optimizer.core.naming import canonical_name
from optimizer.insights.consent_sums import NONE, Observed, Period
from optimizer.storage.events import EventStore, naive_utc

VISIT = "visit"
KEYS = ("source", "device")
# What totals may be broken down by, the finest first: one breakdown is taken, for adding two up counts people twice.
BREAKDOWNS = (("source", "device"), ("source",), ("device",), ())
EVERY = "(all)"
Key = tuple[str, str]


def whole_days(period: Period) -> Period:
    """Return the whole UTC days of a period."""
    start = dt.datetime.combine((period.start - dt.timedelta(microseconds=1)).date(), dt.time(), dt.UTC)
    end = dt.datetime.combine(period.end.astimezone(dt.UTC).date(), dt.time(), dt.UTC)
    return Period(min(start + dt.timedelta(days=1), end), end)


def totals_by_stratum(store: EventStore, project_id: int, days: Period, goal: str) -> list[Observed]:
    """Sum what is known with consent, and take it from the totals.

    Args:
        store: The event plane.
        project_id: Whose.
        days: Whole UTC days.
        goal: Canonical name of the conversion.

    Returns:
        Strata by the finest breakdown that the totals have; empty where no tool counted visits.
    """
    rows = _totals(store, project_id, days, goal)
    breakdown = next((one for one in BREAKDOWNS if any(row["keys"] == one for row in rows)), None)
    if breakdown is None:
        return []
    counted: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row["keys"] == breakdown:
            key = _key(row["dimensions"], breakdown)
            counted[key][row["name"]] += row["visitors"] if row["name"] == VISIT else row["occurrences"]
    known = _consented(store, project_id, days, goal, breakdown)
    return [_observed(key, counted[key], known.get(key), goal) for key in sorted(counted.keys() | known.keys())]


def _totals(store: EventStore, project_id: int, days: Period, goal: str) -> list[dict[str, Any]]:
    counts = store.counts(project_id)
    own = counts.filter(
        counts.name.isin([VISIT, goal]),
        counts.experiment == "",
        counts.date >= ibis.literal(days.start.date()),
        counts.date < ibis.literal(days.end.date()),
    )
    summed = own.group_by("system", "name", "dimensions").agg(
        visitors=own.visitors.sum(), occurrences=own.occurrences.sum()
    )
    rows: list[dict[str, Any]] = summed.to_pyarrow().to_pylist()
    visits: Counter[str] = Counter()
    for row in rows:
        row["dimensions"] = json.loads(row["dimensions"])
        row["keys"] = tuple(key for key in KEYS if key in row["dimensions"])
        if row["name"] == VISIT:
            visits[row["system"]] += row["visitors"]
    if not visits:
        return []
    system = max(sorted(visits), key=lambda name: visits[name])  # two tools count the same people
    return [row for row in rows if row["system"] == system and len(row["dimensions"]) == len(row["keys"])]


def _consented(
    store: EventStore, project_id: int, days: Period, goal: str, breakdown: Sequence[str]
) -> dict[Key, dict[str, float]]:
    events = store.events(project_id)
    within = events.filter(
        events.unit_id != "", events.timestamp >= naive_utc(days.start), events.timestamp < naive_utc(days.end)
    )
    parts = {key: within[key].fill_null(NONE) if key in breakdown else ibis.literal(EVERY) for key in KEYS}
    within = within.mutate(**parts, day=within.timestamp.date())
    daily = within.group_by(*KEYS, "unit_id", "day").agg(c=(within.name == goal).cast("float64").sum())
    by_unit = daily.group_by(*KEYS, "unit_id").agg(v=daily.count().cast("float64"), c=daily.c.sum())
    rows = by_unit.group_by(*KEYS).agg(
        units=by_unit.count(),
        v=by_unit.v.sum(),
        vv=(by_unit.v * by_unit.v).sum(),
        c=by_unit.c.sum(),
        cc=(by_unit.c * by_unit.c).sum(),
        cv=(by_unit.c * by_unit.v).sum(),
    )
    found: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for row in rows.to_pyarrow().to_pylist():
        key = _key(row, breakdown)
        found[key].update({name: row[name] for name in ("units", "v", "vv", "c", "cc", "cv")})
    return {key: dict(sums) for key, sums in found.items()}


def _key(values: dict[str, Any], breakdown: Sequence[str]) -> Key:
    source = (canonical_name(values["source"]) or NONE) if "source" in breakdown else EVERY
    device = (values["device"] or NONE) if "device" in breakdown else EVERY
    return NONE if source == canonical_name(NONE) else source, device


def _observed(key: Key, counted: Counter[str], known: dict[str, float] | None, goal: str) -> Observed:
    own = known or dict.fromkeys(("units", "v", "vv", "c", "cc", "cv"), 0.0)
    denied = max(0.0, counted[VISIT] - own["v"])
    sums = Stratum(int(own["units"]), own["v"], own["vv"], own["c"], own["cc"], own["cv"], denied)
    return Observed(*key, sums, max(0, int(counted[goal] - own["c"])))
