"""What every event name has been used for: how often it came, when last, and what of ours reads it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import ibis
from sqlmodel import Session, col, select

from optimizer.core.rules import clauses, parse
from optimizer.errors import InvalidInputError
from optimizer.storage.events import EventStore, as_utc, naive_utc
from optimizer.storage.tables import Experiment, Metric, Segment, SignalRule


@dataclass(frozen=True, slots=True)
class Traffic:
    """How an event name was sent.

    Attributes:
        occurrences: Within the period, totals of cookieless tools included.
        units: Units that did it within the period.
        missing_property: Occurrences within the period that lacked a property the catalog requires.
        last_at: When it was last sent; None where only its totals are known to be zero.
    """

    occurrences: int = 0
    units: int = 0
    missing_property: int = 0
    last_at: dt.datetime | None = None


def traffic(store: EventStore, project_id: int, *, since: dt.datetime, until: dt.datetime) -> dict[str, Traffic]:
    """Read what was sent under every name, in one pass over the events and one over the daily totals.

    Args:
        store: The event plane.
        project_id: Whose events.
        since: Where the period begins; `last_at` looks back further.
        until: Where it ends.
    """
    events = store.events(project_id)
    events = events.filter(events.timestamp <= naive_utc(until))
    recent = events.timestamp >= ibis.literal(naive_utc(since))
    lacking = recent & events.warnings.fill_null("").contains("missing_property")
    by_unit = events.group_by("name", "unit_id").agg(
        times=recent.cast("int64").sum(), lacking=lacking.cast("int64").sum(), last=events.timestamp.max()
    )
    known = ((by_unit.unit_id != "") & (by_unit.times > 0)).cast("int64")
    rows = by_unit.group_by("name").agg(
        occurrences=by_unit.times.sum(), units=known.sum(), lacking=by_unit.lacking.sum(), last=by_unit["last"].max()
    )
    found = {
        row["name"]: Traffic(row["occurrences"], row["units"], row["lacking"], as_utc(row["last"]))
        for row in rows.to_pyarrow().to_pylist()
    }
    for name, (occurrences, last) in _totals(store, project_id, since=since, until=until).items():
        one = found.get(name, Traffic())
        newest = max(last, one.last_at) if one.last_at else last
        found[name] = Traffic(one.occurrences + occurrences, one.units, one.missing_property, newest)
    return found


def readers(session: Session, project_id: int) -> dict[str, list[str]]:
    """Say which metrics, experiments, signal rules and segments read each event.

    Drafts and running experiments count, enabled rules count; what is over reads nothing any more.
    """
    used: defaultdict[str, list[str]] = defaultdict(list)
    metrics = session.exec(select(Metric).where(Metric.project_id == project_id).order_by(col(Metric.key))).all()
    for metric in metrics:
        used[metric.event].append(f"metric {metric.key}")
    events_of = {metric.key: metric.event for metric in metrics}
    live = select(Experiment).where(
        Experiment.project_id == project_id, col(Experiment.status).in_(["draft", "running"])
    )
    for experiment in session.exec(live.order_by(col(Experiment.key))):
        guardrails = [str(guardrail["metric"]) for guardrail in experiment.guardrail_metrics]
        named = {experiment.primary_metric, experiment.goal_metric, *experiment.secondary_metrics, *guardrails}
        for event in sorted({events_of.get(metric, metric) for metric in named if metric is not None}):
            used[event].append(f"experiment {experiment.key}")
    rules = select(SignalRule).where(SignalRule.project_id == project_id, col(SignalRule.enabled).is_(True))
    for rule in session.exec(rules.order_by(col(SignalRule.key))):
        used[rule.event].append(f"signal rule {rule.key}")
    for segment in session.exec(select(Segment).where(Segment.project_id == project_id).order_by(col(Segment.key))):
        for event in sorted(_events_of(segment)):
            used[event].append(f"segment {segment.key}")
    return dict(used)


def units_of_both(store: EventStore, project_id: int, pairs: Sequence[tuple[str, str]]) -> list[int]:
    """Count, per pair of names, the units that did both, ever; in one pass for all pairs."""
    if not pairs:
        return []
    names = sorted({name for pair in pairs for name in pair})
    place = {name: number for number, name in enumerate(names)}
    events = store.events(project_id)
    events = events.filter(events.unit_id != "", events.name.isin(names))
    did = {f"d{number}": (events.name == name).cast("int64").max() for name, number in place.items()}
    units = events.group_by("unit_id").agg(**did)
    both = {
        f"b{number}": (units[f"d{place[one]}"] * units[f"d{place[other]}"]).sum()
        for number, (one, other) in enumerate(pairs)
    }
    [row] = units.agg(**both).to_pyarrow().to_pylist()
    return [int(row[f"b{number}"] or 0) for number in range(len(pairs))]


def _events_of(segment: Segment) -> set[str]:
    try:
        return {clause.event for clause in clauses(parse(segment.definition))}
    except InvalidInputError:  # stored under rules that have changed since; the segment itself says so on refresh
        return set()


def _totals(
    store: EventStore, project_id: int, *, since: dt.datetime, until: dt.datetime
) -> dict[str, tuple[int, dt.datetime]]:
    counts = store.counts(project_id)
    counts = counts.filter(counts.date <= ibis.literal(until.date()), counts.occurrences > 0, counts.name != "visit")
    recent = counts.date >= ibis.literal(since.date())
    rows = counts.group_by("name").agg(n=counts.occurrences.sum(where=recent), last=counts.date.max())
    return {
        row["name"]: (row["n"] or 0, dt.datetime.combine(row["last"], dt.time(), dt.UTC))
        for row in rows.to_pyarrow().to_pylist()
    }
