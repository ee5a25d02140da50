"""Past experiments, whoever ran them, and how often a proxy agreed with the goal that it stood in for."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime


class PastExperiment(SQLModel, table=True):
    """One finished experiment as sums: all that is needed to learn how proxies' effects go with the goal's.

    `arms` holds, the control first, each arm's n, Σx per metric and Σxxᵀ. How it was stopped is kept because a test
    that ends early on a lucky metric teaches too much of it. `left_out` says why it counts for nothing, `removed_at`
    that a person took it out: an experiment of this service then stays out.
    """

    __tablename__ = "past_experiment"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    source: str = Field(max_length=16)
    name: str = Field(default="", max_length=200)
    change: str = Field(default="", max_length=100)
    started_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopped_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    stopping_metric: str | None = Field(default=None, max_length=200)
    stopping_method: str = Field(default="unknown", max_length=16)
    alpha: float | None = None
    planned_visitors: int | None = None
    stopped_early: bool | None = None
    metrics: list[str] = Field(default_factory=list, sa_type=JSON)
    arms: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    left_out: str = Field(default="", max_length=500)
    entered_at: dt.datetime = Field(sa_type=UtcDateTime)
    removed_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class ProxyVerdict(SQLModel, table=True):
    """What a proxy said of the goal in one comparison of an experiment, beside what the goal then did.

    Effects are treatment minus control in each metric's own unit. `chance` is how likely agreement was by what was
    known before, noise that both share included; None where nothing was known.
    """

    __tablename__ = "proxy_verdict"
    __table_args__ = (UniqueConstraint("experiment_id", "variant"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    experiment_id: int = Field(foreign_key="experiment.id")
    variant: str = Field(max_length=100)
    proxy: str = Field(max_length=200)
    goal: str = Field(max_length=200)
    basis: str = Field(max_length=32)
    proxy_effect: float
    proxy_error: float
    forecast: float | None = None
    forecast_low: float | None = None
    forecast_high: float | None = None
    goal_effect: float
    goal_error: float
    agreed: bool
    contradicted: bool
    covered: bool | None = None
    chance: float | None = None
    matured_at: dt.datetime = Field(sa_type=UtcDateTime)
