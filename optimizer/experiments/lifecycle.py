"""An experiment's life: draft → running → stopped → archived, by hand or by its schedule, and its winner for all.

Nothing goes back: a stopped experiment that ran on would mix people who met it before with such as meet it now, and
looks that were taken as final. Each step is a line in the decision log.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import Session, col, or_, select

from optimizer.core.allocation import Split, resplit, split
from optimizer.errors import ConflictError, InvalidInputError, OptimizerError
from optimizer.experiments.design import get_experiment
from optimizer.experiments.journal import record, record_once
from optimizer.experiments.namespaces import claim_range
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Experiment

SCHEDULE = "schedule"  # the actor of what happens by itself


def start(
    session: Session, project_id: int, key: str, at: dt.datetime | None, *, actor: str, now: dt.datetime
) -> Experiment:
    """Start a draft, now or at a time in the past (so that history can be loaded).

    Raises:
        ConflictError: It has started before, or its range of the namespace is taken.
        InvalidInputError: The time lies ahead.
    """
    row = get_experiment(session, project_id, key)
    if row.status in {"stopped", "archived"}:
        raise ConflictError(
            f"This experiment is {row.status} and cannot be started again: its last look is final. Draft another "
            "one; with the same `seed` it keeps as many people as can be where they are."
        )
    if row.status != "draft":
        raise ConflictError(f"This experiment is {row.status}; only a draft can be started.")
    claim_range(session, row)
    row.split = _split(session, row)
    row.status, row.started_at = "running", _moment(at, now)
    session.add(row)
    record(session, row, "started", {"at": _text(row.started_at)}, actor=actor, now=now)
    return row


def stop(
    session: Session, project_id: int, key: str, at: dt.datetime | None, *, actor: str, now: dt.datetime
) -> Experiment:
    """Stop a running experiment; exposures after it do not count.

    Raises:
        ConflictError: It is not running.
        InvalidInputError: The time lies ahead, or before the start.
    """
    row = get_experiment(session, project_id, key)
    if row.status != "running" or row.started_at is None:
        raise ConflictError(f"This experiment is {row.status}; only a running one can be stopped.")
    moment = _moment(at, now)
    if moment <= row.started_at:
        raise InvalidInputError.at("/at", "before_start", "The experiment must stop after it started.")
    row.status, row.stopped_at = "stopped", moment
    session.add(row)
    record(session, row, "stopped", {"at": _text(moment)}, actor=actor, now=now)
    return row


def archive(
    session: Session, project_id: int, key: str, at: dt.datetime | None, *, actor: str, now: dt.datetime
) -> Experiment:
    """Put a draft or a stopped experiment away; it stays readable, and is no flag any more.

    Raises:
        ConflictError: It is running, or archived already.
        InvalidInputError: The time lies ahead.
    """
    row = get_experiment(session, project_id, key)
    if row.status not in {"draft", "stopped"}:
        raise ConflictError(f"This experiment is {row.status}; only a draft or a stopped one can be archived.")
    row.status, row.archived_at = "archived", _moment(at, now)
    session.add(row)
    record(session, row, "archived", {"at": _text(row.archived_at)}, actor=actor, now=now)
    return row


def roll_out(
    session: Session, project_id: int, key: str, variant: str, *, actor: str, now: dt.datetime
) -> Experiment:
    """Give one variant of a stopped experiment to everybody whom its targeting reaches.

    Raises:
        ConflictError: It is not stopped.
        InvalidInputError: It has no such variant.
    """
    row = get_experiment(session, project_id, key)
    if row.status != "stopped":
        raise ConflictError(f"This experiment is {row.status}; stop it before a variant is rolled out.")
    known = [one["key"] for one in row.variants]
    if variant not in known:
        raise InvalidInputError.at("/variant", "unknown_variant", f"variant must be one of {', '.join(known)}.")
    row.winning_variant, row.rolled_out_at = variant, now
    session.add(row)
    record(session, row, "rolled_out", {"variant": variant}, actor=actor, now=now)
    return row


def run_schedule(control: ControlStore, *, now: dt.datetime) -> dict[str, Any]:
    """Start and stop what is due, each in a transaction of its own; what cannot start is logged once and stays.

    A step counts from the time it was planned for, also when nothing was running then to take it. An experiment whose
    whole time has passed meanwhile is not started at all.

    Returns:
        How many were started and stopped, and the ids of those that could not.
    """
    starts = Experiment.status == "draft", col(Experiment.scheduled_start_at) <= now
    stops = Experiment.status == "running", col(Experiment.scheduled_stop_at) <= now
    done: dict[str, Any] = {"started": 0, "stopped": 0, "failed": []}
    with control.reading() as session:
        late = or_(col(Experiment.scheduled_stop_at).is_(None), col(Experiment.scheduled_stop_at) > now)
        starting = session.exec(select(Experiment).where(*starts, late).order_by(col(Experiment.id))).all()
        stopping = session.exec(select(Experiment).where(*stops).order_by(col(Experiment.id))).all()
    # Stops first: they may free the range of a namespace that a start waits for.
    for row, step, planned, count in (
        *((row, stop, row.scheduled_stop_at, "stopped") for row in stopping),
        *((row, start, row.scheduled_start_at, "started") for row in starting),
    ):
        try:
            with control.session() as session:
                step(session, row.project_id, row.key, planned, actor=SCHEDULE, now=now)
            done[count] += 1
        except OptimizerError as error:
            done["failed"].append(row.id)
            subject = f"{count}:{_text(planned)}"
            detail = {"reason": error.detail}
            action = "start_failed" if step is start else "stop_failed"
            record_once(control, row.id or 0, action, subject, detail, actor=SCHEDULE, now=now)
    return done


def _split(session: Session, row: Experiment) -> dict[str, list[Any]]:
    weights = {variant["key"]: float(variant["weight"]) for variant in row.variants}
    earlier = select(Experiment).where(
        Experiment.project_id == row.project_id, Experiment.seed == row.seed, Experiment.id != row.id
    )
    last = session.exec(
        earlier.where(col(Experiment.started_at).is_not(None)).order_by(col(Experiment.started_at).desc())
    ).first()
    made = split(weights)
    if row.seed and last is not None and last.split is not None:
        known = Split(tuple(last.split["ends"]), tuple(last.split["variants"]))
        made = resplit(known, weights)  # people stay where they are, as far as the weights let them
    return {"ends": list(made.ends), "variants": list(made.variants)}


def _moment(at: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    if at is not None and at > now:
        raise InvalidInputError.at(
            "/at",
            "in_the_future",
            "`at` must not lie ahead: PATCH `scheduled_start_at` or `scheduled_stop_at` for that.",
        )
    return at or now


def _text(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment else None
