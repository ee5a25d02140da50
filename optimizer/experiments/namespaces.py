"""Mutual exclusion: experiments that hold ranges of one namespace which do not touch have no unit in common.

A unit's place in a namespace is a hash of the namespace and the unit alone (`core/allocation.py`), so it never moves.
Whoever starts an experiment takes its range; ranges of running experiments never overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from optimizer.core.allocation import Points
from optimizer.errors import ConflictError
from optimizer.storage.tables import Experiment, Project


class Range(BaseModel):
    """A part of a namespace, from 0 to 1."""

    model_config = ConfigDict(populate_by_name=True)

    start: float = Field(alias="from")
    end: float = Field(alias="to")


class Occupied(Range):
    """A part that a running experiment holds."""

    experiment: str


class NamespaceAnswer(BaseModel):
    """What is taken of a namespace, and what is free."""

    name: str
    unit: str = Field(description="Every experiment of a namespace counts the same units, else none would exclude.")
    occupied: list[Occupied]
    free: list[Range]


def places(project_id: int, name: str) -> Points:
    """Return the points of units in a namespace."""
    return Points(f"{project_id}/{name}", "namespace")


def claim_range(session: Session, experiment: Experiment) -> None:
    """Make sure that an experiment may start in its namespace; holds until the transaction ends.

    Raises:
        ConflictError: A running experiment holds a part of the range, or counts other units. Names it, and what is
            free.
    """
    if experiment.namespace is None:
        return
    # Two starts at once must see each other: the project's row is the lock (on SQLite the transaction itself is).
    session.exec(select(Project.id).where(Project.id == experiment.project_id).with_for_update()).one()
    name, start, end = (experiment.namespace[part] for part in ("name", "from", "to"))
    holders = _holders(session, experiment.project_id, name)
    for other, held in holders:
        if other.unit != experiment.unit:
            raise ConflictError(
                f"The namespace `{name}` is in use by `{other.key}`, which counts units of the kind {other.unit}: "
                f"experiments exclude each other only if they count the same kind."
            )
        if start < held.end and held.start < end:
            free = ", ".join(f"{part.start:g} to {part.end:g}" for part in _free([one for _, one in holders]))
            raise ConflictError(
                f"The range overlaps that of the running experiment `{other.key}`, {held.start:g} to {held.end:g} "
                f"of the namespace `{name}`. Free: {free or 'nothing'}."
            )


def read_namespaces(session: Session, project_id: int) -> list[NamespaceAnswer]:
    """Return every namespace that a running experiment holds a part of, by name."""
    running = select(Experiment).where(Experiment.project_id == project_id, Experiment.status == "running")
    names = sorted({row.namespace["name"] for row in session.exec(running) if row.namespace})
    answers = []
    for name in names:
        holders = _holders(session, project_id, name)
        held = [one for _, one in holders]
        answers.append(NamespaceAnswer(name=name, unit=holders[0][0].unit, occupied=held, free=_free(held)))
    return answers


def _holders(session: Session, project_id: int, name: str) -> list[tuple[Experiment, Occupied]]:
    running = select(Experiment).where(Experiment.project_id == project_id, Experiment.status == "running")
    holders = [
        (row, Occupied(experiment=row.key, start=row.namespace["from"], end=row.namespace["to"]))
        for row in session.exec(running.order_by(col(Experiment.id)))
        if row.namespace is not None and row.namespace["name"] == name
    ]
    return sorted(holders, key=lambda holder: holder[1].start)


def _free(held: Sequence[Range]) -> list[Range]:
    free, reached = [], 0.0
    for part in sorted(held, key=lambda one: one.start):
        if part.start > reached:
            free.append(Range(start=reached, end=part.start))
        reached = max(reached, part.end)
    return [*free, *([Range(start=reached, end=1.0)] if reached < 1 else [])]
