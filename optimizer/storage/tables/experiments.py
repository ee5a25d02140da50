"""Metrics, experiments, who is in them, and the stored grid of looks at them."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

from sqlalchemy import JSON, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime, utc_now


def new_seed() -> str:
    """Draw a seed of 128 bits: what makes one split of the same people independent of every other."""
    return secrets.token_hex(16)


class Metric(SQLModel, table=True):
    """A named way to turn one unit's events into one number; a catalogued event's own name is one already."""

    __tablename__ = "metric"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    type: str = Field(max_length=16)
    event: str = Field(max_length=200)
    where: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    window_hours: float | None = None
    direction: str = Field(default="increase", max_length=8)
    cap: dict[str, float] | None = Field(default=None, sa_type=JSON)
    numerator: str | None = Field(default=None, max_length=8)
    denominator: str | None = Field(default=None, max_length=200)
    quantile: float | None = None
    of: str | None = Field(default=None, max_length=100)
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Experiment(SQLModel, table=True):
    """One A/B test; its design is frozen once it runs.

    `seed`, `split` and the unit alone decide who sees what (`core/allocation.py`). The split is stored at the start,
    so that nothing moves a unit afterwards; `strays` says that some unit was shown another variant all the same, so
    that stored assignments are looked up.
    """

    __tablename__ = "experiment"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    name: str = Field(default="", max_length=200)
    hypothesis: str = Field(default="", sa_type=Text)
    unit: str = Field(default="user", max_length=16)
    variants: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    split: dict[str, list[Any]] | None = Field(default=None, sa_type=JSON)
    strays: bool = False
    seed: str = Field(default_factory=new_seed, max_length=64)
    allocation: float = 1.0
    targeting: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    namespace: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    primary_metric: str = Field(max_length=200)
    goal_metric: str | None = Field(default=None, max_length=200)
    secondary_metrics: list[str] = Field(default_factory=list, sa_type=JSON)
    guardrail_metrics: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    method: str = Field(default="sequential", max_length=16)
    alpha: float = 0.05
    power: float = 0.8
    relative_mde: float | None = None
    planned_visitors: int | None = None
    planned_looks: int | None = None
    spending: str = Field(default="obrien_fleming", max_length=16)
    covariate_days: int = 0
    look_every: str = Field(default="day", max_length=8)
    plan: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    status: str = Field(default="draft", max_length=16)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    scheduled_start_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    scheduled_stop_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    started_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    archived_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    winning_variant: str | None = Field(default=None, max_length=100)
    rolled_out_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class Holdout(SQLModel, table=True):
    """A share of the people kept out of tests, all of them or those named, always the same people."""

    __tablename__ = "holdout"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    share: float
    seed: str = Field(default_factory=new_seed, max_length=64)
    experiments: list[str] | None = Field(default=None, sa_type=JSON)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    ended_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class Assignment(SQLModel, table=True):
    """The variant that an exposed unit keeps, whatever changes later; `unit` carries its kind (`u:`, `a:`, `s:`)."""

    __tablename__ = "assignment"

    experiment_id: int = Field(foreign_key="experiment.id", primary_key=True)
    unit: str = Field(primary_key=True, max_length=202)
    variant: str = Field(max_length=100)
    exposed_at: dt.datetime = Field(sa_type=UtcDateTime)


class ExperimentLogEntry(SQLModel, table=True):
    """One line of an experiment's decision log: who did or read what, when, and what it said. Only ever added to.

    `subject` names what was read, so that reading the same stored look again adds no line.
    """

    __tablename__ = "experiment_log"
    __table_args__ = (UniqueConstraint("experiment_id", "actor", "subject"),)

    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiment.id", index=True)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=32)
    action: str = Field(max_length=32)
    subject: str | None = Field(default=None, max_length=200)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class ExperimentNote(SQLModel, table=True):
    """What somebody wants remembered about an experiment."""

    __tablename__ = "experiment_note"

    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiment.id", index=True)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=32)
    text: str = Field(sa_type=Text)


class ExperimentLook(SQLModel, table=True):
    """The result as it stood at one cut-off of the grid; written once, so that nobody gets another verdict.

    `dimension` is empty for the result itself, else names what it is split by.
    """

    __tablename__ = "experiment_look"
    __table_args__ = (UniqueConstraint("experiment_id", "cutoff", "dimension"),)

    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiment.id")
    cutoff: dt.datetime = Field(sa_type=UtcDateTime)
    dimension: str = Field(default="", max_length=200)
    result: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    computed_at: dt.datetime = Field(sa_type=UtcDateTime)


class FinishedCohort(SQLModel, table=True):
    """Sums over the units first exposed on one UTC day, of metrics whose window and lateness have passed.

    `definition` is a digest of everything that the sums depend on. `members` tells whether the same units are still
    that day's: a unit seen in a second variant later leaves it, and the day is then summed again.
    """

    __tablename__ = "finished_cohort"
    __table_args__ = (UniqueConstraint("experiment_id", "definition", "day"),)

    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiment.id")
    definition: str = Field(max_length=64)
    day: dt.date
    members: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    sums: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
