"""Event definitions, the spellings that were merged into them, and what people consented to have kept."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import JSON, BigInteger, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime, utc_now


class EventDefinition(SQLModel, table=True):
    """One catalogued event name of one project."""

    __tablename__ = "event_definition"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    name: str = Field(max_length=200)
    kind: str | None = Field(default=None, max_length=32)
    description: str = Field(default="", sa_type=Text)
    required_properties: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    status: str = Field(default="proposed", max_length=16)
    count_once_per: str = Field(default="event", max_length=16)
    owner: str | None = Field(default=None, max_length=200)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class EventSpelling(SQLModel, table=True):
    """A spelling that was sent and merged into a canonical name."""

    __tablename__ = "event_spelling"
    __table_args__ = (UniqueConstraint("project_id", "name", "spelling"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    name: str = Field(max_length=200)
    spelling: str = Field(max_length=400)
    first_seen_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Rejection(SQLModel, table=True):
    """How many items of one event name were rejected for one reason on one UTC day."""

    __tablename__ = "rejection"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    day: dt.date = Field(primary_key=True)
    name: str = Field(primary_key=True, max_length=200)
    code: str = Field(primary_key=True, max_length=64)
    times: int = Field(default=0, sa_type=BigInteger)


class MatchDataRecord(SQLModel, table=True):
    """What an ad platform may use to recognise the person behind one consented event; encrypted, 90 days."""

    __tablename__ = "match_data"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    event_id: str = Field(primary_key=True, max_length=200)
    unit_id: str = Field(index=True, max_length=210)
    ciphertext: bytes = Field(sa_type=LargeBinary)
    expires_at: dt.datetime = Field(sa_type=UtcDateTime, index=True)


class ContactRecord(SQLModel, table=True):
    """The newest contact of one unit (e-mail hash; the address itself only with `contact_storage`); encrypted."""

    __tablename__ = "contact"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    unit_id: str = Field(primary_key=True, max_length=210)
    ciphertext: bytes = Field(sa_type=LargeBinary)
    updated_at: dt.datetime = Field(sa_type=UtcDateTime)


class CookielessSalt(SQLModel, table=True):
    """The random salt of one UTC day; deleted after 48 hours, and with it every way back to a visitor."""

    __tablename__ = "cookieless_salt"

    day: dt.date = Field(primary_key=True)
    ciphertext: bytes = Field(sa_type=LargeBinary)
