"""Projects, their keys, and what the service knows about itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime, utc_now


class Project(SQLModel, table=True):
    """One site or app; everything else belongs to exactly one."""

    __tablename__ = "project"

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, max_length=64)
    name: str = Field(max_length=200)
    currency: str = Field(default="EUR", max_length=3)
    time_zone: str = Field(default="UTC", max_length=64)
    strict_catalog: bool = False
    contact_storage: bool = False
    randomise_without_consent: bool = False
    allowed_origins: list[str] = Field(default_factory=list, sa_type=JSON)
    retention_days: int | None = None
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class ApiKey(SQLModel, table=True):
    """A key that opens one project with one scope; only its hash is kept."""

    __tablename__ = "api_key"

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    prefix: str = Field(default="", unique=True, max_length=16)
    key_sha256: str = Field(default="", max_length=64)
    scope: str = Field(max_length=16)
    name: str = Field(default="", max_length=200)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    revoked_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class IdempotentAnswer(SQLModel, table=True):
    """The first answer to a POST that carried an `Idempotency-Key`, replayed on a repeat."""

    __tablename__ = "idempotent_answer"
    __table_args__ = (UniqueConstraint("project_id", "idempotency_key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    idempotency_key: str = Field(max_length=200)
    request_sha256: str = Field(max_length=64)
    status: int
    body: str = Field(sa_type=Text)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class InstanceFact(SQLModel, table=True):
    """A fact about this installation, such as the check value of its secret key."""

    __tablename__ = "instance_fact"

    name: str = Field(primary_key=True, max_length=64)
    value: str = Field(sa_type=Text)


class JobSlot(SQLModel, table=True):
    """The one row per scheduled job on which its slots are claimed: claim, lease and overlap guard in one."""

    __tablename__ = "job_slot"

    job: str = Field(primary_key=True, max_length=64)
    slot: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    run_id: int | None = None
    running: bool = False
    heartbeat_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class JobRun(SQLModel, table=True):
    """One run of a job: when, what it did, what failed."""

    __tablename__ = "job_run"

    id: int | None = Field(default=None, primary_key=True)
    job: str = Field(index=True, max_length=64)
    slot: dt.datetime = Field(sa_type=UtcDateTime)
    started_at: dt.datetime = Field(sa_type=UtcDateTime)
    finished_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    status: str = Field(default="running", max_length=16)
    summary: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    error: str | None = Field(default=None, sa_type=Text)
