"""Reading deliveries and trying refused ones again."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, func, select

from optimizer.errors import ConflictError, NotFoundError
from optimizer.feedback.states import change
from optimizer.storage.tables import DeliveryRecord, DestinationRecord

Status = Literal["pending", "sent", "skipped", "rejected", "dead", "unknown"]
RETRIABLE = ("skipped", "rejected", "dead")
MAXIMUM_RETRIED = 10_000


class DeliveryAnswer(BaseModel):
    """One event on its way to one destination."""

    id: str
    destination: str
    rule_key: str
    event_id: str
    event_name: str
    event_time: dt.datetime
    value: float | None
    currency: str | None
    status: str
    reason: str | None = Field(description="Why it is where it is.")
    attempts: int
    next_attempt_at: dt.datetime | None
    reference: str | None = Field(description="The platform's own reference.")
    sent_at: dt.datetime | None
    confirmed_at: dt.datetime | None
    created_at: dt.datetime


class DeliveryFilter(BaseModel):
    """Which deliveries."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    destination: str | None = Field(None, max_length=100)
    event: str | None = Field(None, max_length=200)


class DestinationHealth(BaseModel):
    """How one destination does."""

    destination: str
    platform: str
    mode: str
    paused_reason: str | None
    circuit_open_until: dt.datetime | None
    counts: dict[str, int] = Field(description="Deliveries by status.")
    oldest_pending_at: dt.datetime | None = Field(description="Age of the oldest undelivered event: the lag.")
    rejected_by_reason: dict[str, int]


def find(
    session: Session, project_id: int, wanted: DeliveryFilter, *, after: str = "", limit: int = 100
) -> list[tuple[DeliveryRecord, str]]:
    """Read deliveries in the order they were made, with their destination's key."""
    query = (
        select(DeliveryRecord, DestinationRecord.key)
        .join(DestinationRecord, col(DestinationRecord.id) == col(DeliveryRecord.destination_id))
        .where(DeliveryRecord.project_id == project_id, DeliveryRecord.id > after)
        .order_by(DeliveryRecord.id)
        .limit(limit)
    )
    if wanted.status:
        query = query.where(DeliveryRecord.status == wanted.status)
    if wanted.destination:
        query = query.where(DestinationRecord.key == wanted.destination)
    if wanted.event:
        query = query.where(DeliveryRecord.event_name == wanted.event)
    return list(session.exec(query))


def retry(session: Session, project_id: int, delivery_id: str, *, now: dt.datetime) -> DeliveryRecord:
    """Put one delivery back in the queue.

    Raises:
        NotFoundError: The project has no such delivery.
        ConflictError: It is sent, pending, or may have arrived: repeating it could count twice.
    """
    row = session.get(DeliveryRecord, delivery_id)
    if row is None or row.project_id != project_id:
        raise NotFoundError("This project has no such delivery.")
    if row.status not in RETRIABLE:
        raise ConflictError(f"A delivery that is {row.status} is not retried: it could count twice.")
    _again(session, row, now)
    return row


def retry_all(session: Session, project_id: int, wanted: DeliveryFilter, *, now: dt.datetime) -> int:
    """Put every delivery that matches and can be retried back in the queue; returns how many."""
    rows = [row for row, _ in find(session, project_id, wanted, limit=MAXIMUM_RETRIED) if row.status in RETRIABLE]
    for row in rows:
        _again(session, row, now)
    return len(rows)


def health(session: Session, project_id: int, row: DestinationRecord) -> DestinationHealth:
    """Sum up one destination."""
    own = (DeliveryRecord.project_id == project_id, DeliveryRecord.destination_id == row.id)
    counts = session.exec(select(DeliveryRecord.status, func.count()).where(*own).group_by(DeliveryRecord.status))
    oldest = session.exec(
        select(func.min(DeliveryRecord.event_time)).where(*own, DeliveryRecord.status == "pending")
    ).one()
    reasons = session.exec(
        select(DeliveryRecord.reason, func.count())
        .where(*own, col(DeliveryRecord.status).in_(["rejected", "skipped", "dead", "unknown"]))
        .group_by(DeliveryRecord.reason)
    )
    return DestinationHealth(
        destination=row.key,
        platform=row.platform,
        mode=row.mode,
        paused_reason=row.paused_reason,
        circuit_open_until=row.circuit_open_until,
        counts=dict(counts.all()),
        oldest_pending_at=oldest,
        rejected_by_reason={reason or "": count for reason, count in reasons},
    )


def answer(row: DeliveryRecord, destination: str) -> DeliveryAnswer:
    """Show a delivery."""
    fields = {name: getattr(row, name) for name in DeliveryAnswer.model_fields if name != "destination"}
    return DeliveryAnswer(**fields, destination=destination)


def _again(session: Session, row: DeliveryRecord, now: dt.datetime) -> None:
    row.attempts, row.first_attempt_at, row.next_attempt_at = 0, None, now
    change(session, row, "pending", "retried by a person", now=now)
