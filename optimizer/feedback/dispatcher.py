"""Sends what is due, destination by destination, and settles every delivery by what the platform said of it.

A delivery is leased and its first attempt is recorded before anything leaves this machine. If the process dies in
between, the lease runs out and the delivery counts as possibly arrived: it is repeated only inside the platform's
dedup window. Consent and suppressions are checked again at the moment of sending.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlmodel import Session, col, or_, select, update

from optimizer.feedback.accounts import connect
from optimizer.feedback.contract import Delivery, Destination, Outcome, PauseDestination, Retry, Skip
from optimizer.feedback.permission import Permission, permissions
from optimizer.feedback.states import backoff_seconds, change, may_repeat, settle
from optimizer.ingest.match_data import MatchData, read_match_data
from optimizer.storage.stores import Stores
from optimizer.storage.tables import DeliveryRecord, DestinationRecord

LEASE = dt.timedelta(minutes=5)
CIRCUIT_OPENS_AFTER = 5
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Totals:
    """What one run did for one destination, by final or present state."""

    destination: str
    platform: str
    counts: Counter[str] = field(default_factory=Counter)
    note: str = ""


def dispatch(
    stores: Stores,
    row: DestinationRecord,
    *,
    now: dt.datetime,
    rng: random.Random,
    stopping: threading.Event | None = None,
) -> Totals:
    """Send what is due at one destination until nothing is, its rate is used up, or it asks for a pause.

    Args:
        stores: Where deliveries, match data and events are.
        row: The destination.
        now: When the run started.
        rng: For the backoff's jitter.
        stopping: When set, the batch at hand is finished and the rest stays pending.
    """
    totals = Totals(row.key, row.platform)
    if row.mode == "paused" or row.paused_reason:
        totals.note = row.paused_reason or "paused"
        return totals
    if row.circuit_open_until is not None and now < row.circuit_open_until:
        totals.note = f"circuit open until {row.circuit_open_until.isoformat()}"
        return totals
    destination = connect(stores.cipher, row)
    for _ in range(destination.limits.requests_per_minute):
        if stopping is not None and stopping.is_set():
            break
        leased = _lease(stores, row, destination, now=now)
        if not leased:
            break
        outcomes = _send(stores, row.project_id, destination, leased, totals, now=now, rng=rng)
        if _unhealthy(stores, row, outcomes, totals, now=now, rng=rng):
            break
    log.info("dispatched", destination=row.key, **totals.counts)
    return totals


def prepare(
    stores: Stores, project_id: int, destination: Destination, rows: Sequence[DeliveryRecord], *, now: dt.datetime
) -> list[dict[str, Any] | Skip]:
    """Render deliveries, or say why each cannot be sent; changes nothing.

    Args:
        stores: Where match data and consent are.
        project_id: Whose deliveries.
        destination: The platform.
        rows: Deliveries.
        now: The moment of sending.
    """
    with stores.control.reading() as session:
        match = read_match_data(session, stores.cipher, project_id, [row.event_id for row in rows], now=now)
    allowed = permissions(stores, project_id, {row.unit_id for row in rows})
    return [
        _rendered(destination, row, match.get(row.event_id), allowed.get(row.unit_id, Permission()), now)
        for row in rows
    ]


def _rendered(
    destination: Destination, row: DeliveryRecord, match: MatchData | None, allowed: Permission, now: dt.datetime
) -> dict[str, Any] | Skip:
    if allowed.suppressed:
        return Skip("the person is suppressed")
    if allowed.ad_user_data is not True:
        return Skip("consent to ad_user_data was withdrawn" if allowed.ad_user_data is False else "no consent")
    delivery = Delivery(
        event_id=row.event_id,
        event_name=row.event_name,
        platform_event=row.platform_event,
        event_time=row.event_time,
        value=row.value,
        currency=row.currency,
        unit_sha256=hashlib.sha256(row.unit_id.encode()).hexdigest(),
        match=match or MatchData(),
        ad_personalization=allowed.ad_personalization,
    )
    try:
        return destination.render(delivery, now=now)
    except Skip as skip:
        return skip


def _lease(
    stores: Stores, row: DestinationRecord, destination: Destination, *, now: dt.datetime
) -> list[DeliveryRecord]:
    with stores.control.session() as session:
        due = session.exec(
            select(DeliveryRecord)
            .where(
                DeliveryRecord.destination_id == row.id,
                DeliveryRecord.status == "pending",
                DeliveryRecord.next_attempt_at <= now,
                or_(col(DeliveryRecord.lease_until).is_(None), col(DeliveryRecord.lease_until) < now),
            )
            .order_by(col(DeliveryRecord.next_attempt_at), col(DeliveryRecord.id))
            .limit(destination.limits.batch)
            .with_for_update(skip_locked=True)
        ).all()
        leased = []
        for delivery in due:
            abandoned = delivery.lease_until is not None
            if abandoned and not may_repeat(delivery, destination.limits, now):
                reason = "the process ended while sending and the platform's dedup window is over; it is not repeated"
                change(session, delivery, "unknown", reason, now=now)
                continue
            delivery.attempts += 1
            delivery.first_attempt_at = delivery.first_attempt_at or now
            delivery.lease_until = now + LEASE
            session.add(delivery)
            leased.append(delivery)
        return leased


def _send(
    stores: Stores,
    project_id: int,
    destination: Destination,
    leased: list[DeliveryRecord],
    totals: Totals,
    *,
    now: dt.datetime,
    rng: random.Random,
) -> list[Outcome]:
    rendered = prepare(stores, project_id, destination, leased, now=now)
    ready = [(row, item) for row, item in zip(leased, rendered, strict=True) if not isinstance(item, Skip)]
    outcomes = destination.send([item for _, item in ready]) if ready else []
    with stores.control.session() as session:
        for row, item in zip(leased, rendered, strict=True):
            if isinstance(item, Skip):
                change(session, row, "skipped", item.reason, now=now)
                totals.counts["skipped"] += 1
        for (row, _), outcome in zip(ready, outcomes, strict=True):
            settle(session, row, outcome, destination.limits, now=now, rng=rng)
            totals.counts[row.status] += 1
    return outcomes


def _unhealthy(
    stores: Stores,
    row: DestinationRecord,
    outcomes: list[Outcome],
    totals: Totals,
    *,
    now: dt.datetime,
    rng: random.Random,
) -> bool:
    pause = next((outcome for outcome in outcomes if isinstance(outcome, PauseDestination)), None)
    failed = bool(outcomes) and all(isinstance(outcome, Retry) for outcome in outcomes)
    with stores.control.session() as session:
        if pause is not None:
            totals.note = f"paused: {pause.reason}"
            _update(session, row, paused_reason=pause.reason)
            return True
        if not failed:
            if row.consecutive_failures:
                _update(session, row, consecutive_failures=0, circuit_open_until=None)
            return False
        failures = row.consecutive_failures + 1
        until = None
        if failures >= CIRCUIT_OPENS_AFTER:
            until = now + dt.timedelta(seconds=60 + backoff_seconds(failures - CIRCUIT_OPENS_AFTER + 1, rng))
        _update(session, row, consecutive_failures=failures, circuit_open_until=until)
        totals.note = "every delivery of the last batch has to be tried again"
        return True


def _update(session: Session, row: DestinationRecord, **values: Any) -> None:  # noqa: ANN401 - column values
    session.execute(update(DestinationRecord).where(col(DestinationRecord.id) == row.id).values(**values))
    for name, value in values.items():
        setattr(row, name, value)
