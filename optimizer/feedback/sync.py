"""One run of the feedback: turn new events into deliveries, send what is due, and say what happened."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from typing import Any

from pydantic import BaseModel, Field
from sqlmodel import col, select

from optimizer.feedback.accounts import connect, list_destinations
from optimizer.feedback.contract import Skip
from optimizer.feedback.dispatcher import Totals, dispatch, prepare
from optimizer.feedback.outbox import enqueue
from optimizer.feedback.rules import list_rules, told_in_words
from optimizer.feedback.telling import Values
from optimizer.storage.stores import Stores
from optimizer.storage.tables import DeliveryRecord, DestinationRecord

SHOWN = 20


class DestinationTotals(BaseModel):
    """What one run did for one destination."""

    destination: str
    platform: str
    sent: int = 0
    skipped: int = 0
    rejected: int = 0
    pending: int = Field(0, description="Tried and to be tried again.")
    dead: int = 0
    unknown: int = 0
    note: str = Field("", description="Why less happened than might have.")


class WouldSend(BaseModel):
    """One delivery as it would leave."""

    event_id: str
    event_name: str
    value: float | None = Field(description="What the platform is told it is worth; null tells nothing.")
    currency: str | None
    value_of: str = Field(description="What the value is made of; empty when the rule is gone.")
    request: dict[str, Any]


class WouldSkip(BaseModel):
    """One delivery that would not leave, and why."""

    event_id: str
    event_name: str
    reason: str


class DryRun(BaseModel):
    """What the next run would do for one destination."""

    destination: str
    platform: str
    would_send: int
    would_skip: dict[str, int] = Field(description="Reason to number of deliveries.")
    examples: list[WouldSend] = Field(description=f"The first {SHOWN}, rendered as the platform would get them.")
    skipped_examples: list[WouldSkip]


class SyncAnswer(BaseModel):
    """Totals of one run, or what it would have done."""

    dry_run: bool
    enqueued: int
    destinations: list[DestinationTotals] = []
    preview: list[DryRun] = []


def synchronise(
    stores: Stores,
    project_id: int,
    values: Values,
    *,
    now: dt.datetime,
    rng: random.Random,
    stopping: threading.Event | None = None,
) -> SyncAnswer:
    """Run once for one project.

    Args:
        stores: Both stores and the cipher.
        project_id: Whose events and destinations.
        values: What occurrences are worth.
        now: When the run started.
        rng: For the backoff's jitter.
        stopping: When set, the batch at hand is finished and the rest waits.
    """
    enqueued = enqueue(stores, project_id, values, now=now)
    totals = [dispatch(stores, row, now=now, rng=rng, stopping=stopping) for row in _destinations(stores, project_id)]
    return SyncAnswer(dry_run=False, enqueued=enqueued, destinations=[_shown(total) for total in totals])


def preview(stores: Stores, project_id: int, values: Values, *, now: dt.datetime) -> SyncAnswer:
    """Say what a run would send and skip, with the rendered requests; nothing leaves and nothing is settled."""
    enqueued = enqueue(stores, project_id, values, now=now)
    rows = _destinations(stores, project_id)
    return SyncAnswer(
        dry_run=True, enqueued=enqueued, preview=[_preview(stores, project_id, row, now=now) for row in rows]
    )


def _preview(stores: Stores, project_id: int, row: DestinationRecord, *, now: dt.datetime) -> DryRun:
    destination = connect(stores.cipher, row)
    with stores.control.reading() as session:
        due = session.exec(
            select(DeliveryRecord)
            .where(DeliveryRecord.destination_id == row.id, DeliveryRecord.status == "pending")
            .order_by(col(DeliveryRecord.next_attempt_at), col(DeliveryRecord.id))
            .limit(destination.limits.batch)
        ).all()
        words = {rule.key: told_in_words(rule) for rule in list_rules(session, project_id)}
    rendered = list(zip(due, prepare(stores, project_id, destination, due, now=now), strict=True))
    sending = [(delivery, item) for delivery, item in rendered if not isinstance(item, Skip)]
    skipping = [(delivery, item) for delivery, item in rendered if isinstance(item, Skip)]
    return DryRun(
        destination=row.key,
        platform=row.platform,
        would_send=len(sending),
        would_skip=dict(Counter(skip.reason for _, skip in skipping)),
        examples=[
            WouldSend(
                event_id=delivery.event_id,
                event_name=delivery.event_name,
                value=delivery.value,
                currency=delivery.currency,
                value_of=words.get(delivery.rule_key, ""),
                request=item,
            )
            for delivery, item in sending[:SHOWN]
        ],
        skipped_examples=[
            WouldSkip(event_id=delivery.event_id, event_name=delivery.event_name, reason=skip.reason)
            for delivery, skip in skipping[:SHOWN]
        ],
    )


def _destinations(stores: Stores, project_id: int) -> list[DestinationRecord]:
    with stores.control.reading() as session:
        return list_destinations(session, project_id)


def _shown(total: Totals) -> DestinationTotals:
    return DestinationTotals(
        destination=total.destination, platform=total.platform, note=total.note, **dict(total.counts)
    )
