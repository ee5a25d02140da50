"""Holdouts: a share of the people whom tests leave alone, always the same ones.

What they do beside everybody else shows what all that was tested and rolled out is worth together. A holdout only
grows while it lasts, because people whom it let go would have seen less than the others; and it never takes back a
unit that an experiment was shown to before.
"""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from optimizer.errors import ConflictError, InvalidInputError, NotFoundError
from optimizer.storage.tables import Experiment, Holdout


class HoldoutRequest(BaseModel):
    """How many are left alone, and by what."""

    model_config = ConfigDict(extra="forbid")

    share: float = Field(gt=0, le=0.5, allow_inf_nan=False, description="Of the units; may only grow.")
    experiments: list[str] | None = Field(
        None, min_length=1, max_length=1000, description="Keys of the experiments it is kept out of; null: all."
    )


class HoldoutAnswer(BaseModel):
    """One holdout."""

    key: str
    share: float
    experiments: list[str] | None
    created_at: dt.datetime
    ended_at: dt.datetime | None


def put_holdout(session: Session, project_id: int, key: str, request: HoldoutRequest, *, now: dt.datetime) -> Holdout:
    """Make a holdout, or let one grow.

    Raises:
        InvalidInputError: An experiment is unknown.
        ConflictError: It would let people go: the share shrinks, experiments are taken off, or it has ended.
    """
    named = request.experiments or []
    known = set(session.exec(select(Experiment.key).where(Experiment.project_id == project_id)))
    for place, name in enumerate(named):
        if name not in known:
            detail = "This project has no experiment with that key. GET /v1/experiments lists them."
            raise InvalidInputError.at(f"/experiments/{place}", "unknown_experiment", detail)
    row = _find(session, project_id, key)
    if row is None:
        row = Holdout(project_id=project_id, key=key, share=request.share, created_at=now)
    elif row.ended_at is not None:
        raise ConflictError("This holdout has ended, and its people have been let go. Make another one.")
    elif request.share < row.share:
        raise ConflictError(f"The share of a holdout may only grow; it is {row.share:g}. DELETE ends the holdout.")
    elif request.experiments is not None and (row.experiments is None or set(row.experiments) - set(named)):
        raise ConflictError("Experiments may be added to a holdout, never taken off. DELETE ends the holdout.")
    row.share, row.experiments = request.share, request.experiments
    session.add(row)
    session.flush()
    return row


def get_holdout(session: Session, project_id: int, key: str) -> Holdout:
    """Read one holdout.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = _find(session, project_id, key)
    if row is None:
        raise NotFoundError("This project has no holdout with that key. GET /v1/holdouts lists them.")
    return row


def list_holdouts(session: Session, project_id: int, *, after: int = 0, limit: int = 1_000) -> list[Holdout]:
    """Read holdouts in the order they were made."""
    own = select(Holdout).where(Holdout.project_id == project_id, col(Holdout.id) > after)
    return list(session.exec(own.order_by(col(Holdout.id)).limit(limit)))


def end_holdout(session: Session, project_id: int, key: str, *, now: dt.datetime) -> Holdout:
    """Let a holdout's people go; it stays readable.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = get_holdout(session, project_id, key)
    row.ended_at = row.ended_at or now
    session.add(row)
    return row


def _find(session: Session, project_id: int, key: str) -> Holdout | None:
    return session.exec(select(Holdout).where(Holdout.project_id == project_id, Holdout.key == key)).first()
