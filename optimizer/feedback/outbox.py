"""The transactional outbox: turns stored events into deliveries, each exactly once.

Nothing is atomic across the two stores. So the scan reads events after a cursor, inserts deliveries under
UNIQUE(destination, event), and moves the cursor in the same control transaction. Scanning twice is harmless;
skipping is not, hence the overlap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import uuid_utils
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from optimizer.core.terms import Terms
from optimizer.feedback.accounts import list_destinations
from optimizer.feedback.rules import list_rules
from optimizer.feedback.telling import Telling, Values, read_telling
from optimizer.signals.asked import terms_of
from optimizer.storage.events import EventStore, as_utc, naive_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import DeliveryRecord, FeedbackCursor, SignalRule

CHUNK = 5_000
WEEK = dt.timedelta(days=7)
COLUMNS = (
    "sequence", "event_id", "name", "timestamp", "unit_id", "source", "value", "currency", "consent_ad_user_data",
)  # fmt: skip


def enqueue(stores: Stores, project_id: int, values: Values, *, now: dt.datetime) -> int:
    """Make deliveries of every event that a rule covers and that was stored since the last scan.

    Returns:
        How many deliveries were made.
    """
    made = 0
    late = stores.events.overlap  # read again once a scan: commits of other writers may have become visible since
    last = last_sequence(stores.events, project_id)  # what comes meanwhile waits for the next scan
    weekly: dict[str, int] = {}
    while True:
        with stores.control.session() as session:
            rules = list_rules(session, project_id, enabled_only=True)
            cursor = session.get(FeedbackCursor, project_id) or FeedbackCursor(project_id=project_id)
            if cursor.sequence >= last and not late:
                return made
            after = max(0, cursor.sequence - late)
            upto = _end_of_chunk(stores.events, project_id, after, cursor.sequence, last) if rules else last
            rows = _events(stores.events, project_id, rules, after, upto)
            names = {rule.event for rule in rules}
            if not names <= weekly.keys():
                weekly = dict.fromkeys(names, 0) | weekly_counts(stores.events, project_id, names, now=now)
            every = list_rules(session, project_id)  # whichever rule told of a person, the person was told of
            telling = read_telling(session, stores.events, project_id, every, rows, values)
            made += _insert(session, project_id, rules, rows, weekly, telling, now)
            cursor.sequence, late = upto, 0
            session.add(cursor)


def backfill(stores: Stores, project_id: int, rule: SignalRule, values: Values, *, now: dt.datetime) -> int:
    """Make deliveries of the stored events that a rule covers, also from before it was made.

    Returns:
        How many deliveries were made; events already delivered are not repeated.
    """
    rule.starts_after_sequence = 0
    rows = _events(stores.events, project_id, [rule], 0, last_sequence(stores.events, project_id))
    weekly = weekly_counts(stores.events, project_id, {rule.event}, now=now)
    made = 0
    with stores.control.session() as session:
        session.add(rule)
        every = list_rules(session, project_id)
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            telling = read_telling(session, stores.events, project_id, every, chunk, values)
            made += _insert(session, project_id, [rule], chunk, weekly, telling, now)
    return made


def last_sequence(store: EventStore, project_id: int) -> int:
    """Return the newest sequence of a project's events; 0 when there are none."""
    return int(store.events(project_id).sequence.max().to_pyarrow().as_py() or 0)


def weekly_counts(store: EventStore, project_id: int, names: set[str], *, now: dt.datetime) -> dict[str, int]:
    """Count each event's occurrences over the last seven days."""
    events = store.events(project_id)
    recent = events.filter(events.name.isin(sorted(names)), events.timestamp >= naive_utc(now - WEEK))
    counted = recent.group_by("name").agg(n=recent.count()).to_pyarrow().to_pylist()
    return {row["name"]: row["n"] for row in counted}


def _end_of_chunk(store: EventStore, project_id: int, after: int, cursor: int, last: int) -> int:
    events = store.events(project_id)
    further = events.filter(events.sequence > max(after, cursor)).select("sequence").order_by("sequence").limit(CHUNK)
    return int(further.sequence.max().to_pyarrow().as_py() or max(cursor, last))


def _events(
    store: EventStore, project_id: int, rules: Sequence[SignalRule], after: int, upto: int
) -> list[dict[str, Any]]:
    if not rules:
        return []
    events = store.events(project_id)
    wanted = events.filter(
        events.sequence > after, events.sequence <= upto, events.name.isin(sorted({rule.event for rule in rules}))
    )
    rows: list[dict[str, Any]] = wanted.select(*COLUMNS).order_by("sequence").to_pyarrow().to_pylist()
    return rows


def _insert(  # noqa: PLR0917 - the parts of one transaction
    session: Session,
    project_id: int,
    rules: Sequence[SignalRule],
    rows: Sequence[Mapping[str, Any]],
    weekly: Mapping[str, int],
    telling: Telling,
    now: dt.datetime,
) -> int:
    ids = {row.key: row.id for row in list_destinations(session, project_id)}
    made = []
    for row in rows:
        for rule in rules:
            if row["name"] != rule.event or row["sequence"] <= rule.starts_after_sequence:
                continue
            delivery = {**_delivery(rule, row, weekly, now), "project_id": project_id}
            for key in rule.destinations:
                id_ = ids.get(key)
                if id_ is not None:
                    value, currency = _value(rule, row, (key, id_), telling)
                    if delivery["status"] != "skipped" and rule.value.get("mode") == "predicted":
                        telling.note(id_, row, value)
                    own = {"id": str(uuid_utils.uuid7()), "destination_id": id_, "value": value, "currency": currency}
                    made.append({**delivery, **own})
    if not made:
        return 0
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(DeliveryRecord).on_conflict_do_nothing(index_elements=["destination_id", "event_id"])
    inserted = session.connection().execute(statement.returning(col(DeliveryRecord.id)), made)
    return len(inserted.all())


def _delivery(
    rule: SignalRule, row: Mapping[str, Any], weekly: Mapping[str, int], now: dt.datetime
) -> dict[str, Any]:
    reason = _reason_to_skip(rule, row, weekly.get(rule.event, 0))
    return {
        "rule_key": rule.key,
        "event_id": row["event_id"],
        "event_name": row["name"],
        "platform_event": rule.platform_event,
        "unit_id": row["unit_id"],
        "event_time": as_utc(row["timestamp"]),
        "status": "skipped" if reason else "pending",
        "reason": reason,
        "attempts": 0,
        "next_attempt_at": now,
        "created_at": now,
    }


def _reason_to_skip(rule: SignalRule, row: Mapping[str, Any], weekly: int) -> str | None:
    if not row["consent_ad_user_data"]:
        return "no consent to ad_user_data"
    if weekly < rule.minimum_weekly_events:
        return f"below the rule's minimum_weekly_events: {weekly} of {rule.minimum_weekly_events}"
    return None


def _value(
    rule: SignalRule, row: Mapping[str, Any], destination: tuple[str, int], telling: Telling
) -> tuple[float | None, str | None]:
    mode, currency = rule.value.get("mode", "none"), telling.values.currency
    if mode == "fixed":
        return float(rule.value["amount"]), currency
    if mode == "property" and row["value"] is not None:
        return _own_value(terms_of(rule.value), row, currency)
    if mode == "predicted":
        value = telling.value(destination, row)
        return value, None if value is None else currency
    return None, None


def _own_value(terms: Terms, row: Mapping[str, Any], currency: str) -> tuple[float | None, str | None]:
    own = row["currency"] or currency
    if terms.maximum is not None and own != currency:
        return None, None  # a cap in one currency says nothing of a value in another
    return round(terms.told(float(row["value"])), 4), own
