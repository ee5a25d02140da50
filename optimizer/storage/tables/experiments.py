"""Metrics, experiments and the stored grid of looks at them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime, utc_now


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
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Experiment(SQLModel, table=True):
    """One A/B test; its design is frozen once it runs."""

    __tablename__ = "experiment"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    name: str = Field(default="", max_length=200)
    hypothesis: str = Field(default="", sa_type=Text)
    unit: str = Field(default="user", max_length=16)
    variants: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    primary_metric: str = Field(max_length=200)
    goal_metric: str | None = Field(default=None, max_length=200)
    secondary_metrics: list[str] = Field(default_factory=list, sa_type=JSON)
    guardrail_metrics: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    method: str = Field(default="sequential", max_length=16)
    alpha: float = 0.05
    power: float = 0.8
    relative_mde: float | None = None
    planned_visitors: int | None = None
    status: str = Field(default="draft", max_length=16)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    started_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    archived_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class ExperimentLook(SQLModel, table=True):
    """The result as it stood at one cut-off of the grid; written once, so that nobody gets another verdict."""

    __tablename__ = "experiment_look"
    __table_args__ = (UniqueConstraint("experiment_id", "cutoff"),)

    id: int | None = Field(default=None, primary_key=True)
    experiment_id: int = Field(foreign_key="experiment.id")
    cutoff: dt.datetime = Field(sa_type=UtcDateTime)
    result: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    computed_at: dt.datetime = Field(sa_type=UtcDateTime)
