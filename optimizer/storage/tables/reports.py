"""What scheduled jobs found out and wrote down: audits, models, tables of values; numbered within their kind."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime


class StoredReport(SQLModel, table=True):
    """One document, as it was on the day; never changed afterwards."""

    __tablename__ = "stored_report"
    __table_args__ = (UniqueConstraint("project_id", "kind", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    kind: str = Field(max_length=32)
    number: int
    made_at: dt.datetime = Field(sa_type=UtcDateTime)
    document: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
