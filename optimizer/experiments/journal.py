"""An experiment's decision log and notes: who did or read what, when, and what it said; lines are only ever added.

That somebody looked belongs to a verdict as much as the figures do. The looks themselves lie on a stored grid, so
reading the same look again adds no line: one a reader and a look.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Experiment, ExperimentLogEntry, ExperimentNote

LONGEST_NOTE = 10_000


class LogAnswer(BaseModel):
    """One line of the decision log."""

    at: dt.datetime
    actor: str = Field(description="Prefix of the key, as GET /v1/keys lists it; `schedule` for the service itself.")
    action: str = Field(
        description="created, changed, started, stopped, archived, rolled_out, start_failed, looked or noted."
    )
    detail: dict[str, Any] = Field(description="What changed, or what the verdict said.")


class NoteRequest(BaseModel):
    """What to remember."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=LONGEST_NOTE, description="For people; kept as it is.")


class NoteAnswer(BaseModel):
    """One note."""

    at: dt.datetime
    actor: str = Field(description="Prefix of the key.")
    text: str


def record(
    session: Session, experiment: Experiment, action: str, detail: dict[str, Any], *, actor: str, now: dt.datetime
) -> None:
    """Add a line about something that was done."""
    session.flush()  # a new experiment has its id from here on
    entry = ExperimentLogEntry(experiment_id=experiment.id or 0, at=now, actor=actor, action=action, detail=detail)
    session.add(entry)


def record_once(
    control: ControlStore,
    experiment_id: int,
    action: str,
    subject: str,
    detail: dict[str, Any],
    *,
    actor: str,
    now: dt.datetime,
) -> None:
    """Add a line about something that was read or met, unless this actor has one on the same subject.

    Args:
        control: The control plane.
        experiment_id: Which experiment.
        action: What was done.
        subject: What it was done to, for example which look was read.
        detail: What it said.
        actor: Prefix of the key, or `schedule`.
        now: When.
    """
    own = select(ExperimentLogEntry.id).where(
        ExperimentLogEntry.experiment_id == experiment_id,
        ExperimentLogEntry.actor == actor,
        ExperimentLogEntry.subject == subject,
    )
    with control.reading() as session:
        if session.exec(own).first() is not None:
            return
    entry = ExperimentLogEntry(
        experiment_id=experiment_id, at=now, actor=actor, action=action, subject=subject, detail=detail
    )
    try:
        with control.session() as session:
            session.add(entry)
    except IntegrityError:  # the same reader, twice at once: one line it is
        return


class Verdict(Protocol):
    """What a line keeps of a decision."""

    action: str
    reasons: list[str]


class Reading(Protocol):
    """What a line keeps of a result."""

    experiment: str
    as_of: dt.datetime
    units: dict[str, int]
    decision: Any


def record_reading(
    control: ControlStore,
    project_id: int,
    result: Reading,
    *,
    actor: str,
    now: dt.datetime,
    dimension: str = "",
) -> None:
    """Add a line about a look that somebody read, and what its verdict said; one a reader, a look and a dimension."""
    with control.reading() as session:
        own = select(Experiment.id).where(Experiment.project_id == project_id, Experiment.key == result.experiment)
        experiment_id = session.exec(own).one() or 0
    as_of = result.as_of.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    verdict: Verdict = result.decision
    detail = {"as_of": as_of, "units": result.units, "decision": verdict.action, "reasons": list(verdict.reasons)}
    if dimension:
        detail["dimension"] = dimension
    subject = f"look:{as_of}:{dimension}"
    record_once(control, experiment_id, "looked", subject, detail, actor=actor, now=now)


def read_log(
    session: Session, experiment: Experiment, *, after: int = 0, limit: int = 100
) -> list[ExperimentLogEntry]:
    """Return lines, oldest first."""
    own = select(ExperimentLogEntry).where(
        ExperimentLogEntry.experiment_id == experiment.id, col(ExperimentLogEntry.id) > after
    )
    return list(session.exec(own.order_by(col(ExperimentLogEntry.id)).limit(limit)))


def add_note(session: Session, experiment: Experiment, text: str, *, actor: str, now: dt.datetime) -> ExperimentNote:
    """Keep a note."""
    note = ExperimentNote(experiment_id=experiment.id or 0, at=now, actor=actor, text=text)
    session.add(note)
    record(session, experiment, "noted", {}, actor=actor, now=now)
    return note


def read_notes(session: Session, experiment: Experiment, *, after: int = 0, limit: int = 100) -> list[ExperimentNote]:
    """Return notes, oldest first."""
    own = select(ExperimentNote).where(ExperimentNote.experiment_id == experiment.id, col(ExperimentNote.id) > after)
    return list(session.exec(own.order_by(col(ExperimentNote.id)).limit(limit)))
