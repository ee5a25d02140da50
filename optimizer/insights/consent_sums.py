"""What is known with and without consent, summed by source and device in the engine; no unit ever leaves it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir

from optimizer.core.consent import Stratum
from optimizer.storage.events import EventStore, naive_utc

NONE = "(none)"


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` on, before `end`; aware UTC."""

    start: dt.datetime
    end: dt.datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """One source on one device.

    Attributes:
        source: Of the events themselves; "(none)" where they carried none.
        device: Likewise.
        stratum: Sums over units, and visits without consent.
        denied_conversions: Goal events without consent.
    """

    source: str
    device: str
    stratum: Stratum
    denied_conversions: int


def names_without_consent(store: EventStore, project_id: int, period: Period) -> dict[str, int]:
    """Count what came without consent, by name; names that also came with it only."""
    events = _within(store, project_id, period)
    known = events.unit_id != ""
    rows = events.group_by("name").agg(known=known.cast("int64").sum(), denied=_denied(events).cast("int64").sum())
    return {row["name"]: row["denied"] for row in rows.to_pyarrow().to_pylist() if row["known"]}


def sums_by_stratum(store: EventStore, project_id: int, period: Period, goal: str, anchor: str) -> list[Observed]:
    """Sum visits (the anchor's occurrences) and conversions (the goal's), in one pass over the events.

    Args:
        store: The event plane.
        project_id: Whose events.
        period: Which.
        goal: Canonical name of the conversion.
        anchor: Canonical name of what marks a visit.
    """
    events = _within(store, project_id, period)
    events = events.filter(events.name.isin([goal, anchor]))
    events = events.mutate(
        source=events.source.fill_null(NONE),
        device=events.device.fill_null(NONE),
        is_visit=(events.name == anchor).cast("float64"),
        is_goal=(events.name == goal).cast("float64"),
        denied=_denied(events).cast("float64"),
    )
    by_unit = events.group_by("source", "device", "unit_id").agg(
        v=events.is_visit.sum(), c=events.is_goal.sum(), denied_v=(events.is_visit * events.denied).sum(),
        denied_c=(events.is_goal * events.denied).sum(),
    )  # fmt: skip
    known = (by_unit.unit_id != "").cast("float64")
    rows = by_unit.group_by("source", "device").agg(
        units=known.sum(),
        v=(known * by_unit.v).sum(),
        vv=(known * by_unit.v * by_unit.v).sum(),
        c=(known * by_unit.c).sum(),
        cc=(known * by_unit.c * by_unit.c).sum(),
        cv=(known * by_unit.c * by_unit.v).sum(),
        denied_v=by_unit.denied_v.sum(),
        denied_c=by_unit.denied_c.sum(),
    )
    return [_observed(row) for row in rows.to_pyarrow().to_pylist()]


def _observed(row: dict[str, Any]) -> Observed:
    sums = Stratum(int(row["units"]), row["v"], row["vv"], row["c"], row["cc"], row["cv"], row["denied_v"])
    return Observed(row["source"], row["device"], sums, int(row["denied_c"]))


def _within(store: EventStore, project_id: int, period: Period) -> ir.Table:
    events = store.events(project_id)
    return events.filter(events.timestamp >= naive_utc(period.start), events.timestamp < naive_utc(period.end))


def _denied(events: ir.Table) -> ir.BooleanValue:
    # `fill_null` before the negation: unknown consent is no denial.
    return ~events.consent_analytics.fill_null(True)  # noqa: FBT003 - Ibis' own signature
