"""What each unit did lately, kept ready in the control plane: a page that is being built cannot wait for a scan.

Every minute the units that sent something since are computed again in the engine, and some of those that were not for
a day, because what is recent ages. A unit that did nothing for 30 days is forgotten. All this is done only for
projects in which somebody asks: others would pay for it with every event.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete, select

from optimizer.signals.likelihood_versions import Scoring, model_in_use
from optimizer.signals.recent import HISTORY, likelihoods
from optimizer.storage.among import among
from optimizer.storage.events import EventStore, as_utc, naive_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import ProfileCursor, UnitProfile

AGED = dt.timedelta(days=1)
NOTED_EVERY = dt.timedelta(days=1)
KEPT_UNASKED = dt.timedelta(days=30)
AGED_AT_ONCE = 2_000  # a minute: 2.9 million a day
EVENTS_AT_ONCE = 1_000_000
UNITS_AT_ONCE = 2_000
MAXIMUM_NAMES = 50
COOKIELESS = "c:"  # nobody can ask by such an id


@dataclass(slots=True)
class _Work:
    # One project's refresh, and what it has done so far.
    stores: Stores
    project_id: int
    model: Scoring | None
    now: dt.datetime
    refreshed: int = 0
    forgotten: int = 0


def refresh_profiles(
    stores: Stores, project_id: int, *, now: dt.datetime, stopping: threading.Event | None = None
) -> dict[str, int]:
    """Bring a project's profiles up to date.

    Args:
        stores: Both planes.
        project_id: Whose units.
        now: When.
        stopping: When set, the units at hand are finished and the rest waits.

    Returns:
        How many profiles were computed again and how many forgotten.
    """
    work = _Work(stores, project_id, model_in_use(stores, project_id, now=now), now)
    for units, merged, upto in _changes(work):
        for first in range(0, len(units), UNITS_AT_ONCE):
            _compute(work, units[first : first + UNITS_AT_ONCE])
        with stores.control.session() as session:
            _write(session, [_row(work, unit, merged_into=into) for unit, into in merged.items()])
            _move(session, project_id, *upto)
        if stopping is not None and stopping.is_set():
            break
    else:
        _compute(work, _aged(work))
    return {"refreshed": work.refreshed, "forgotten": work.forgotten}


def note_asked(stores: Stores, project_id: int, *, now: dt.datetime) -> bool:
    """Remember that somebody wants profiles of a project; returns whether nobody had for long."""
    with stores.control.reading() as session:
        cursor = session.get(ProfileCursor, project_id)
        asked_at = cursor.asked_at if cursor else None
    if asked_at is not None and now - asked_at < NOTED_EVERY:
        return False
    with stores.control.session() as session:
        cursor = session.get(ProfileCursor, project_id) or ProfileCursor(project_id=project_id)
        cursor.asked_at = now
        session.add(cursor)
    return asked_at is None


def asked_lately(session: Session, *, now: dt.datetime) -> list[int]:
    """Return the projects whose profiles somebody wanted in the last 30 days."""
    wanted = col(ProfileCursor.asked_at) > now - KEPT_UNASKED
    return list(session.exec(select(ProfileCursor.project_id).where(wanted).order_by(col(ProfileCursor.project_id))))


def forget_unasked(session: Session, *, now: dt.datetime) -> int:
    """Delete the profiles that nobody asked for in 30 days; returns of how many projects."""
    unasked = select(ProfileCursor.project_id).where(col(ProfileCursor.asked_at) <= now - KEPT_UNASKED)
    projects = list(session.exec(unasked))
    for table in (UnitProfile, ProfileCursor):
        session.exec(delete(table).where(col(table.project_id).in_(projects)))
    return len(projects)


def _move(session: Session, project_id: int, sequence: int, link_sequence: int) -> None:
    cursor = session.get(ProfileCursor, project_id) or ProfileCursor(project_id=project_id)
    cursor.sequence, cursor.link_sequence = sequence, link_sequence
    session.add(cursor)


def _changes(work: _Work) -> Iterator[tuple[list[str], dict[str, str], tuple[int, int]]]:
    # Units to compute, visitors who became one of them, and where the cursor stands once that is done.
    store, project_id = work.stores.events, work.project_id
    with work.stores.control.reading() as session:
        stands = session.get(ProfileCursor, project_id) or ProfileCursor(project_id=project_id)
        after, links_after = stands.sequence, stands.link_sequence
    rows = store.mergers(project_id, after=links_after - store.overlap).to_pyarrow().to_pylist()
    merged = {row["from_unit"]: row["to_unit"] for row in rows}
    links_upto = max([links_after, *(row["sequence"] for row in rows)])
    yield sorted(set(merged.values())), merged, (after, links_upto)
    read_from = after - store.overlap
    while True:
        events = _recent(work)
        chunk = events.filter(events.sequence > read_from).order_by("sequence").limit(EVENTS_AT_ONCE)
        upto = chunk.sequence.max().to_pyarrow().as_py()
        if not upto:  # of nothing, ClickHouse makes 0
            return
        known = chunk.filter(~chunk.unit_id.startswith(COOKIELESS)).select("unit_id").distinct()
        units = sorted(known.to_pyarrow()["unit_id"].to_pylist())
        yield units, {}, (max(after, upto), links_upto)
        read_from = upto


def _recent(work: _Work) -> ir.Table:
    events = work.stores.events.events(work.project_id)
    since, until = naive_utc(work.now - HISTORY), naive_utc(work.now)
    return events.filter(events.unit_id != "", events.timestamp > since, events.timestamp <= until)


def _aged(work: _Work) -> list[str]:
    with work.stores.control.reading() as session:
        return list(
            session.exec(
                select(UnitProfile.unit_id)
                .where(
                    UnitProfile.project_id == work.project_id,
                    UnitProfile.computed_at < work.now - AGED,
                    col(UnitProfile.merged_into).is_(None),
                )
                .order_by(col(UnitProfile.computed_at))
                .limit(AGED_AT_ONCE)
            )
        )


def _compute(work: _Work, units: Sequence[str]) -> None:
    if not units:
        return
    events = _recent(work)
    own = events.filter(among(events.unit_id, units))
    named = own.group_by("unit_id", "name").agg(times=own.count(), last=own.timestamp.max())
    done: dict[str, list[dict[str, Any]]] = {}
    for row in named.order_by("unit_id", named["last"].desc(), "name").to_pyarrow().to_pylist():
        last_at = as_utc(row["last"]).isoformat()
        done.setdefault(row["unit_id"], []).append({"event": row["name"], "times": row["times"], "last_at": last_at})
    scores = _scores(work, work.stores.events, units)
    rows = [
        _row(work, unit, events=done[unit][:MAXIMUM_NAMES], conversion_likelihood=scores.get(unit))
        for unit in units
        if unit in done
    ]
    gone = [unit for unit in units if unit not in done]
    with work.stores.control.session() as session:
        _write(session, rows)
        work.forgotten += _forget(session, work.project_id, gone)
    work.refreshed += len(rows)


def _scores(work: _Work, store: EventStore, units: Sequence[str]) -> Mapping[str, float]:
    if work.model is None:
        return {}
    model = work.model
    found = likelihoods(store, work.project_id, model.recipe, model.model, work.now, units)
    rows = found.to_pyarrow().to_pylist()
    return {row["unit_id"]: row["conversion_likelihood"] for row in rows}


def _row(work: _Work, unit: str, **known: Any) -> dict[str, Any]:  # noqa: ANN401 - a row's columns
    empty: dict[str, Any] = {"merged_into": None, "events": [], "conversion_likelihood": None}
    return {**empty, **known, "project_id": work.project_id, "unit_id": unit, "computed_at": work.now}


def _write(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(UnitProfile)
    renewed = {name: statement.excluded[name] for name in rows[0] if name not in {"project_id", "unit_id"}}
    session.execute(statement.on_conflict_do_update(index_elements=["project_id", "unit_id"], set_=renewed), rows)


def _forget(session: Session, project_id: int, units: Sequence[str]) -> int:
    # And the visitors who became one of them, and those who became one of those.
    forgotten, gone = 0, list(units)
    while gone:
        own = delete(UnitProfile).where(col(UnitProfile.project_id) == project_id, col(UnitProfile.unit_id).in_(gone))
        forgotten += session.exec(own).rowcount
        gone = list(
            session.exec(
                select(UnitProfile.unit_id).where(
                    UnitProfile.project_id == project_id, col(UnitProfile.merged_into).in_(gone)
                )
            )
        )
    return forgotten
