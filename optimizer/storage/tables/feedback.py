"""Destinations, rules, policy and the outbox."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from optimizer.storage.tables.base import UtcDateTime, utc_now


class DestinationRecord(SQLModel, table=True):
    """One account at one ad platform; its credentials are encrypted and never read back out."""

    __tablename__ = "destination"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    platform: str = Field(max_length=40)
    account: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    credentials_ciphertext: bytes | None = Field(default=None, sa_type=LargeBinary)
    mode: str = Field(default="live", max_length=8)
    base_url: str | None = Field(default=None, max_length=500)
    paused_reason: str | None = Field(default=None, sa_type=Text)
    consecutive_failures: int = 0
    circuit_open_until: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    deleted_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class SignalRule(SQLModel, table=True):
    """Which event goes where, under which name, at which value."""

    __tablename__ = "signal_rule"
    __table_args__ = (UniqueConstraint("project_id", "key"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id")
    key: str = Field(max_length=100)
    event: str = Field(max_length=200)
    destinations: list[str] = Field(default_factory=list, sa_type=JSON)
    platform_event: str | None = Field(default=None, max_length=100)
    role: str = Field(default="secondary", max_length=16)
    value: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    minimum_weekly_events: int = 50
    enabled: bool = True
    managed_by_policy: bool = False
    chosen_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    starts_after_sequence: int = Field(default=0, sa_type=BigInteger)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class FeedbackPolicy(SQLModel, table=True):
    """The standing order by which rules are chosen and maintained."""

    __tablename__ = "feedback_policy"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    goal: str = Field(max_length=200)
    destinations: list[str] = Field(default_factory=list, sa_type=JSON)
    maximum_signals: int = 3
    minimum_q: float = 0.05
    minimum_weekly_events: int = 50
    value: str = Field(default="predicted", max_length=16)
    margin: float = 1.0
    maximum: float | None = None
    window_days: int = 30
    schedule: str = Field(default="*/15 * * * *", max_length=100)
    enabled: bool = True
    updated_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class PolicyRanking(SQLModel, table=True):
    """The ranking that a project's policy looks at, until it is made anew."""

    __tablename__ = "policy_ranking"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    made_at: dt.datetime = Field(sa_type=UtcDateTime)
    document: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class PolicyChoice(SQLModel, table=True):
    """One choice the policy made, with its figures and reasons."""

    __tablename__ = "policy_choice"

    id: int | None = Field(default=None, primary_key=True)
    project_id: int = Field(foreign_key="project.id", index=True)
    at: dt.datetime = Field(sa_type=UtcDateTime)
    event: str = Field(max_length=200)
    action: str = Field(max_length=16)
    reasons: list[str] = Field(default_factory=list, sa_type=JSON)
    figures: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class FeedbackCursor(SQLModel, table=True):
    """How far one project's events have been turned into deliveries, and when that was last done."""

    __tablename__ = "feedback_cursor"

    project_id: int = Field(foreign_key="project.id", primary_key=True)
    sequence: int = Field(default=0, sa_type=BigInteger)
    synchronised_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)


class DeliveryRecord(SQLModel, table=True):
    """One event on its way to one destination."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("destination_id", "event_id"),
        Index("ix_delivery_due", "destination_id", "status", "next_attempt_at"),
    )

    id: str = Field(primary_key=True, max_length=36)
    project_id: int = Field(foreign_key="project.id", index=True)
    destination_id: int = Field(foreign_key="destination.id")
    rule_key: str = Field(max_length=100)
    event_id: str = Field(max_length=200)
    event_name: str = Field(max_length=200)
    platform_event: str | None = Field(default=None, max_length=100)
    unit_id: str = Field(max_length=210, index=True)
    event_time: dt.datetime = Field(sa_type=UtcDateTime)
    value: float | None = None
    currency: str | None = Field(default=None, max_length=3)
    status: str = Field(default="pending", max_length=12)
    reason: str | None = Field(default=None, sa_type=Text)
    attempts: int = 0
    first_attempt_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    next_attempt_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    lease_until: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    reference: str | None = Field(default=None, max_length=200)
    sent_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    confirmed_at: dt.datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: dt.datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class DeliveryTransition(SQLModel, table=True):
    """One change of a delivery's state, with its reason and time."""

    __tablename__ = "delivery_transition"

    id: int | None = Field(default=None, primary_key=True)
    delivery_id: str = Field(foreign_key="delivery.id", index=True, max_length=36)
    from_status: str | None = Field(default=None, max_length=12)
    to_status: str = Field(max_length=12)
    reason: str = Field(default="", sa_type=Text)
    at: dt.datetime = Field(sa_type=UtcDateTime)
