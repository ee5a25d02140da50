"""Segments, their members, the sequence of changes, and suppressions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime, utc_now


class Segment(SQLModel, table=True):
    """A named audience and how far its sequence of changes has come."""

    __tablename__ = "segment"
    # An id is never used again: cursors of a deleted segment's changes must not fit its successor.
    __table_args__ = (UniqueConstraint("project_id", "key"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    name: str = Field(default="", max_length=200)
    definition: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    refresh_minutes: int = 15
    purpose: str = Field(default="email", max_length=8)
    destinations: list[str] = Field(default_factory=list, sa_type=JSON)
    last_sequence: int = Field(default=0, sa_type=BigInteger)
    refreshed_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class SegmentMember(SQLModel, table=True):
    """One unit that is in a segment now."""

    __tablename__ = "segment_member"

    segment_id: int = Field(foreign_key="segment.id", primary_key=True)
    unit_id: str = Field(primary_key=True, max_length=210)
    user_id: str | None = Field(default=None, max_length=200)
    entered_at: dt.datetime = Field(sa_type=UtcDateTime)
    last_event_at: dt.datetime = Field(sa_type=UtcDateTime)
    items: list[str] = Field(default_factory=list, sa_type=JSON)
    value: float | None = None
    conversion_likelihood: float | None = None


class SegmentChange(SQLModel, table=True):
    """One unit entering or leaving, numbered without gaps within its segment."""

    __tablename__ = "segment_change"

    segment_id: int = Field(foreign_key="segment.id", primary_key=True)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    change: str = Field(max_length=8)
    unit_id: str = Field(max_length=210)
    user_id: str | None = Field(default=None, max_length=200)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    reason: str = Field(default="", sa_type=Text)


class UnitProfile(SQLModel, table=True):
    """What one unit did lately, summed up; of a visitor who became a user only who that is now."""

    __tablename__ = "unit_profile"
    __table_args__ = (
        Index("ix_unit_profile_age", "project_id", "computed_at"),
        Index("ix_unit_profile_merged", "project_id", "merged_into"),
    )

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    unit_id: str = Field(primary_key=True, max_length=210)
    merged_into: str | None = Field(default=None, max_length=210)
    events: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    conversion_likelihood: float | None = None
    computed_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class ProfileCursor(SQLModel, table=True):
    """How far one project's events and merged identities are in its profiles."""

    __tablename__ = "profile_cursor"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    sequence: int = Field(default=0, sa_type=BigInteger)
    link_sequence: int = Field(default=0, sa_type=BigInteger)
    asked_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)  # when somebody last wanted a profile


class Suppression(SQLModel, table=True):
    """A person who must receive nothing; known by user id or by the hash of the e-mail, never by the address."""

    __tablename__ = "suppression"
    __table_args__ = (UniqueConstraint("project_id", "user_id", "email_sha256", "purpose"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    user_id: str | None = Field(default=None, max_length=200, index=True)
    email_sha256: str | None = Field(default=None, max_length=64, index=True)
    purpose: str = Field(default="all", max_length=8)
    reason: str = Field(default="", sa_type=Text)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
