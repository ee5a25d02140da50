"""Baselines and traffic measured from a project's own data, for plans that bring none along.

A unit is followed from when it was first seen in the period, as a test would follow it from its first exposure, and
for as long as the metric's window; units too young for that are left out, because they would deflate the figures.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure, figures
from optimizer.experiments.columns import FAMILIES
from optimizer.experiments.metrics import Resolved, resolve_metric
from optimizer.experiments.planning.sizing import Level
from optimizer.storage.events import EventStore, naive_utc
from optimizer.storage.tables import Metric

WINDOW_DAYS = 30
VISIT = "visit"
NO_QUANTILE = (
    "A quantile cannot be planned on: what a visitor adds to its precision is known only where the quantile lies. "
    "Plan on a mean or a rate of the same event, and take the quantile as a secondary metric or a guardrail."
)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a stored metric says of itself.

    Attributes:
        mean: Whether it is a mean or a ratio, not a rate.
        window_hours: Its conversion window.
        less_is_better: Whether a loss is an increase.
        quantile: Whether it is a quantile, which is not planned on.
    """

    mean: bool
    window_hours: float | None
    less_is_better: bool
    quantile: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What the last 30 days show.

    Attributes:
        levels: By name; what cannot be planned on is left out.
        unusable: Why it was left out, by name: never seen, always there, no unit old enough.
        definitions: Of stored metrics, by key; an event's own name is not one.
        daily_visitors: *New* units a day, or visitors a day where only daily totals are known.
    """

    levels: Mapping[str, Level] = field(default_factory=dict)
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    daily_visitors: float | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)


NOTHING = Measured()


def resolve_names(session: Session, project_id: int, names: Sequence[str]) -> dict[str, Resolved]:
    """Find what names stand for: a stored metric's key, else the share of units with an event of that name."""
    found = {}
    for name in names:
        own = select(Metric).where(Metric.project_id == project_id, Metric.key == name)
        if session.exec(own).first() is not None:
            found[name] = resolve_metric(session, project_id, name)
        else:
            event = canonical_name(name)
            found[event] = Resolved(Metric(project_id=project_id, key=event, type="proportion", event=event))
    return found


def measure(events: EventStore, project_id: int, metrics: Mapping[str, Resolved], *, now: dt.datetime) -> Measured:
    """Measure metrics from events; without any, rates from daily totals (`visit` is the denominator)."""
    definitions = {name: _definition(found.metric) for name, found in metrics.items() if found.metric.id is not None}
    daily = _new_units_a_day(events, project_id, now)
    if daily:
        found = {name: _from_events(events, project_id, one, now) for name, one in metrics.items()}
    else:
        found, daily = _from_counts(events, project_id, metrics, now)
    levels = {name: level for name, level in found.items() if isinstance(level, Level)}
    unusable = {name: level for name, level in found.items() if isinstance(level, str)}
    return Measured(levels, definitions, daily, unusable)


def _definition(metric: Metric) -> Definition:
    rate, less = metric.type == "proportion", metric.direction == "decrease"
    return Definition(not rate, metric.window_hours, less, metric.type == "quantile")


def _new_units_a_day(store: EventStore, project_id: int, now: dt.datetime) -> float | None:
    events = _known(store, project_id, now)
    first_seen = events.group_by("unit_id").agg(first=events.timestamp.min())
    since = naive_utc(now - dt.timedelta(days=WINDOW_DAYS))
    recent = (first_seen["first"] >= since).cast("int64").sum()
    [row] = first_seen.agg(oldest=first_seen["first"].min(), recent=recent).to_pyarrow().to_pylist()
    if not row["recent"]:
        return None
    days = (naive_utc(now) - row["oldest"].replace(tzinfo=None)) / dt.timedelta(days=1)
    return float(row["recent"] / min(float(WINDOW_DAYS), max(1.0, days)))


def _from_events(store: EventStore, project_id: int, found: Resolved, now: dt.datetime) -> Level | str:
    if found.metric.type == "quantile":
        return NO_QUANTILE
    per_unit = _per_unit(store, project_id, found, now)
    names = ["value"] if found.denominator is None else ["value", "below"]
    sums: dict[str, ir.Value] = {"n": per_unit.count()}
    for place, one in enumerate(names):
        sums[one] = per_unit[one].sum()
        sums |= {f"{one}_{other}": (per_unit[one] * per_unit[other]).sum() for other in names[place:]}
    [row] = per_unit.agg(**sums).to_pyarrow().to_pylist()
    if not row["n"]:
        hours = found.metric.window_hours or 0.0
        return f"Nobody was first seen long enough ago for its window of {hours:g} hours to have passed."
    if not all(math.isfinite(one) for one in row.values()):
        return "Its values are so large that their squares cannot be added up."
    products = {(one, other): [row[f"{one}_{other}"]] for place, one in enumerate(names) for other in names[place:]}
    cross = CrossMoments.of_sums("a", names, [row["n"]], [[row[name] for name in names]], products)
    rate = found.metric.type == "proportion"
    measure = Measure(FAMILIES[found.metric.type], "value", "below" if found.denominator is not None else None)
    shown = figures(cross, measure, adjusted=False)
    return _usable(float(shown.mean[0]), float(shown.variance[0]), rate=rate)


def _per_unit(store: EventStore, project_id: int, found: Resolved, now: dt.datetime) -> ir.Table:
    window = dt.timedelta(hours=found.metric.window_hours or 0.0)
    events = _known(store, project_id, now)
    events = events.filter(events.timestamp >= naive_utc(now - window - dt.timedelta(days=WINDOW_DAYS)))
    entries = events.group_by("unit_id").agg(first=events.timestamp.min())
    entries = entries.filter(entries["first"] <= naive_utc(now - window))
    parts = {"value": (found.metric, found.metric.numerator or found.metric.type)}
    if found.denominator is not None:
        parts["below"] = (found.denominator, found.denominator.type)
    wanted = events.filter(events.name.isin(sorted({metric.event for metric, _ in parts.values()})))
    flags = {f"is_{part}": _matches(store, wanted, metric) for part, (metric, _) in parts.items()}
    wanted = wanted.select("value", whose=wanted.unit_id, at=wanted.timestamp, **flags)
    seen = entries.left_join(wanted, entries.unit_id == wanted.whose)
    inside = seen["at"] >= seen["first"]
    if window:
        inside &= seen["at"] <= seen["first"] + ibis.interval(seconds=round(window.total_seconds()))
    numbers = {
        part: _number(seen, kind, (inside & seen[f"is_{part}"]).fill_null(False))  # noqa: FBT003 - Ibis' own signature
        for part, (_, kind) in parts.items()
    }
    per_unit = seen.group_by("unit_id").agg(**numbers)
    for part, (metric, _) in parts.items():
        limit = _limit(per_unit, part, metric.cap)
        if limit is not None:
            per_unit = per_unit.mutate(**{part: per_unit[part].clip(upper=limit)})
    return per_unit


def _matches(store: EventStore, events: ir.Table, metric: Metric) -> ir.BooleanValue:
    named: ir.BooleanValue = events.name == metric.event
    return named & store.has_properties(events, metric.where) if metric.where else named


def _number(seen: ir.Table, kind: str, when: ir.BooleanValue) -> ir.Value:
    if kind == "sum":
        return seen.value.sum(where=when).fill_null(0.0).cast("float64")
    counted = seen.count(where=when)
    return (counted.clip(upper=1) if kind == "proportion" else counted).cast("float64")


def _limit(per_unit: ir.Table, part: str, cap: Mapping[str, float] | None) -> float | None:
    if not cap:
        return None
    if "value" in cap:
        return cap["value"]
    units = per_unit.count().to_pyarrow().as_py()
    place = max(0, -int(-units * cap["percentile"] * (1 - 1e-12) // 1) - 1)  # the ⌈p·n⌉-th smallest
    row = per_unit.order_by(part).select(part).limit(1, offset=place).to_pyarrow().to_pylist()
    return float(row[0][part]) if row else None


def _known(store: EventStore, project_id: int, now: dt.datetime) -> ir.Table:
    events = store.events(project_id)
    return events.filter(events.unit_id != "", events.timestamp < naive_utc(now))


def _from_counts(
    store: EventStore, project_id: int, metrics: Mapping[str, Resolved], now: dt.datetime
) -> tuple[dict[str, Level | str], float | None]:
    events = {name: found.metric.event for name, found in metrics.items() if _is_plain_rate(found.metric)}
    counts = store.counts(project_id)
    since = (now - dt.timedelta(days=WINDOW_DAYS)).date()
    named = counts.name.isin(sorted({VISIT, *events.values()}))
    recent = counts.filter(counts.date >= since, named, counts.experiment == "")
    # One system's totals may come whole and split by dimensions: only the whole ones are added up.
    whole = recent.filter(recent.dimensions == "{}")
    totals = whole.group_by("name").agg(visitors=whole.visitors.sum(), days=whole.date.nunique())
    found = {row["name"]: row for row in totals.order_by(ibis.desc("visitors")).to_pyarrow().to_pylist()}
    visits = found.get(VISIT)
    if not visits or not visits["visitors"]:
        return {}, None
    shares = {name: found[event]["visitors"] / visits["visitors"] for name, event in events.items() if event in found}
    levels = {name: _usable(share, share * (1 - share), rate=True) for name, share in shares.items()}
    return levels, visits["visitors"] / visits["days"]


def _is_plain_rate(metric: Metric) -> bool:
    return metric.type == "proportion" and not metric.where


def _usable(mean: float, variance: float, *, rate: bool) -> Level | str:
    if not mean > 0:  # so is NaN, the ratio of what was never seen
        return f"In the last {WINDOW_DAYS} days nobody did it, so that there is nothing to measure."
    if rate and mean >= 1:
        return f"In the last {WINDOW_DAYS} days everybody did it: no change can raise it and none can be told apart."
    if not variance > 0:
        return f"In the last {WINDOW_DAYS} days it was the same for everybody: there is no variance to plan with."
    return Level(mean, mean * (1 - mean) if rate else variance, rate)
