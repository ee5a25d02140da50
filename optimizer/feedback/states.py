"""A delivery's states: every change in one place, each with its reason and time.

pending ──► sent · skipped · rejected · dead · unknown
   ▲                     │ (a person's retry)
   └─────────────────────┘
"""

from __future__ import annotations

import datetime as dt
import random

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, or_, select

from optimizer.feedback.contract import (
    Accepted,
    Defer,
    Duplicate,
    Limits,
    Outcome,
    PauseDestination,
    Rejected,
    Retry,
)
from optimizer.storage.tables import DeliveryRecord, DeliveryTransition

FIRST_BACKOFF_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 6 * 3600.0
MAXIMUM_ATTEMPTS = 12


def change(session: Session, row: DeliveryRecord, status: str, reason: str, *, now: dt.datetime) -> None:
    """Move a delivery to another state and record why."""
    session.add(
        DeliveryTransition(delivery_id=row.id, from_status=row.status, to_status=status, reason=reason, at=now)
    )
    row.status, row.reason, row.lease_until = status, reason or None, None
    session.add(row)


def settle(
    session: Session, row: DeliveryRecord, outcome: Outcome, limits: Limits, *, now: dt.datetime, rng: random.Random
) -> None:
    """Apply what the platform said about one delivery."""
    match outcome:
        case Accepted(reference):
            row.reference, row.sent_at = reference, now
            change(session, row, "sent", "", now=now)
        case Duplicate():
            row.sent_at = row.sent_at or now
            change(session, row, "sent", "the platform had it already", now=now)
        case Rejected(reason):
            change(session, row, "rejected", reason, now=now)
        case Defer(seconds, reason):
            row.attempts -= 1
            _again(session, row, reason, seconds, now)
        case PauseDestination(reason):
            row.attempts -= 1
            _again(session, row, f"destination paused: {reason}", 0.0, now)
        case Retry():
            _retry(session, row, outcome, limits, now, rng)


def cancel(session: Session, *which: ColumnElement[bool] | bool, reason: str, now: dt.datetime) -> int:
    """Skip pending deliveries that nobody is sending at this moment; returns how many."""
    rows = session.exec(
        select(DeliveryRecord).where(
            *which,
            DeliveryRecord.status == "pending",
            or_(col(DeliveryRecord.lease_until).is_(None), col(DeliveryRecord.lease_until) < now),
        )
    ).all()
    for row in rows:
        change(session, row, "skipped", reason, now=now)
    return len(rows)


def may_repeat(row: DeliveryRecord, limits: Limits, now: dt.datetime) -> bool:
    """Whether a send that may have arrived can be repeated: only inside the platform's dedup window."""
    if row.first_attempt_at is None:
        return True
    return limits.dedup_window is not None and now < row.first_attempt_at + limits.dedup_window


def backoff_seconds(attempts: int, rng: random.Random) -> float:
    """Exponential backoff with full jitter: uniform between 0 and the doubled bound."""
    return rng.uniform(0, min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** max(0, attempts - 1)))


def _retry(  # noqa: PLR0917 - the parts of one decision
    session: Session, row: DeliveryRecord, outcome: Retry, limits: Limits, now: dt.datetime, rng: random.Random
) -> None:
    seconds = outcome.after_seconds if outcome.after_seconds is not None else backoff_seconds(row.attempts, rng)
    if outcome.ambiguous and not may_repeat(row, limits, now + dt.timedelta(seconds=seconds)):
        reason = (
            f"{outcome.reason}; it may have arrived and the platform's dedup window is over, so it is not repeated"
        )
        change(session, row, "unknown", reason, now=now)
    elif row.attempts >= MAXIMUM_ATTEMPTS:
        change(session, row, "dead", f"gave up after {row.attempts} attempts: {outcome.reason}", now=now)
    else:
        if not outcome.ambiguous and row.attempts == 1:
            row.first_attempt_at = None  # nothing left this machine: the dedup window has not begun
        _again(session, row, outcome.reason, seconds, now)


def _again(session: Session, row: DeliveryRecord, reason: str, seconds: float, now: dt.datetime) -> None:
    row.next_attempt_at = now + dt.timedelta(seconds=seconds)
    change(session, row, "pending", reason, now=now)
