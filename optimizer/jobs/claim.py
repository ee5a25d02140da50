"""The claim on a slot: one conditional UPDATE on one row per job is claim, lease and overlap guard in one."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, or_, update

from optimizer.storage.control import ControlStore
from optimizer.storage.tables import JobRun, JobSlot

HEARTBEAT_SECONDS = 10.0
EXPIRES_AFTER = dt.timedelta(seconds=60)


def claim(control: ControlStore, job: str, slot: dt.datetime, *, now: dt.datetime) -> int | None:
    """Claim a slot that is newer than the last one, unless a run with a living heartbeat is under way.

    Returns:
        The id of the new run, or None when the slot is taken or a run is under way.
    """
    with control.session() as session:
        _ensure_row(session, job)
        abandoned = col(JobSlot.heartbeat_at) < now - EXPIRES_AFTER
        claimed = session.execute(
            update(JobSlot)
            .where(
                col(JobSlot.job) == job,
                or_(col(JobSlot.slot).is_(None), col(JobSlot.slot) < slot),
                or_(col(JobSlot.running).is_(False), abandoned),
            )
            .values(slot=slot, running=True, heartbeat_at=now)
        )
        if claimed.rowcount != 1:  # type: ignore[attr-defined]
            return None
        row = session.get_one(JobSlot, job)
        _close_abandoned(session, row.run_id, now)
        run = JobRun(job=job, slot=slot, started_at=now)
        session.add(run)
        session.flush()
        row.run_id = run.id
        session.add(row)
        return run.id


def beat(control: ControlStore, job: str, run_id: int, *, now: dt.datetime) -> None:
    """Show that a run still lives."""
    with control.session() as session:
        session.execute(
            update(JobSlot).where(col(JobSlot.job) == job, col(JobSlot.run_id) == run_id).values(heartbeat_at=now)
        )


def finish(
    control: ControlStore, run_id: int, status: str, summary: dict[str, Any], error: str | None, *, now: dt.datetime
) -> JobRun:
    """Record how a run ended and give its slot row free."""
    with control.session() as session:
        run = session.get_one(JobRun, run_id)
        if run.finished_at is None:
            run.status, run.summary, run.error, run.finished_at = status, summary, error, now
            session.add(run)
        session.execute(
            update(JobSlot).where(col(JobSlot.job) == run.job, col(JobSlot.run_id) == run_id).values(running=False)
        )
        return run


def _ensure_row(session: Session, job: str) -> None:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.execute(insert(JobSlot).values(job=job, running=False).on_conflict_do_nothing())


def _close_abandoned(session: Session, run_id: int | None, now: dt.datetime) -> None:
    run = session.get(JobRun, run_id) if run_id is not None else None
    if run is not None and run.finished_at is None:
        run.status, run.finished_at, run.error = "abandoned", now, "The process ended during the run."
        session.add(run)
