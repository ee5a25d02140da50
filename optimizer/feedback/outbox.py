"""The transactional outbox: turns stored events into deliveries, each exactly once.

Nothing is atomic across the two stores. So the scan reads events after a cursor, inserts deliveries under
UNIQUE(destination, event), and moves the cursor in the same control transaction. Scanning twice is harmless;
skipping is not, hence the overlap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uuid_utils
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from optimizer.feedback.accounts import list_destinations
from optimizer.feedback.rules import list_rules
from optimizer.storage.events import EventStore, as_utc, naive_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import DeliveryRecord, FeedbackCursor, SignalRule

CHUNK = 5_000
ROWS_A_STATEMENT = 500
WEEK = dt.timedelta(days=7)
COLUMNS = ("sequence", "event_id", "name", "timestamp", "unit_id", "value", "currency", "consent_ad_user_data")


@dataclass(frozen=True, slots=True)
class Values:
    """What occurrences are worth.

    Attributes:
        predicted: Expected goal value per event name, for rules whose mode is `predicted`.
        currency: Of those values.
    """

    predicted: Mapping[str, float]
    currency: str


def enqueue(stores: Stores, project_id: int, values: Values, *, now: dt.datetime) -> int:
    """Make deliveries of every event that a rule covers and that was stored since the last scan.

    Returns:
        How many deliveries were made.
    """
    made = 0
    late = stores.events.overlap  # read again once a scan: commits of other writers may have become visible since
    while True:
        with stores.control.session() as session:
            rules = list_rules(session, project_id, enabled_only=True)
            cursor = session.get(FeedbackCursor, project_id) or FeedbackCursor(project_id=project_id)
            last = last_sequence(stores.events, project_id)
            if cursor.sequence >= last and not late:
                return made
            after = max(0, cursor.sequence - late)
            upto = _end_of_chunk(stores.events, project_id, after, cursor.sequence, last) if rules else last
            rows = _events(stores.events, project_id, rules, after, upto)
            weekly = weekly_counts(stores.events, project_id, {rule.event for rule in rules}, now=now)
            made += _insert(session, project_id, rules, rows, weekly, values, now)
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
        for first in range(0, len(rows), CHUNK):
            made += _insert(session, project_id, [rule], rows[first : first + CHUNK], weekly, values, now)
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
    values: Values,
    now: dt.datetime,
) -> int:
    ids = {row.key: row.id for row in list_destinations(session, project_id)}
    valued = _valued(session, project_id, rules, rows)
    made = []
    for row in rows:
        for rule in rules:
            if row["name"] != rule.event or row["sequence"] <= rule.starts_after_sequence:
                continue
            delivery = {**_delivery(rule, row, weekly, values, now), "project_id": project_id}
            _value_once(delivery, rule, valued)
            made += [
                {**delivery, "id": str(uuid_utils.uuid7()), "destination_id": ids[key]}
                for key in rule.destinations
                if ids.get(key) is not None
            ]
    if not made:
        return 0
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    inserted = 0
    for first in range(0, len(made), ROWS_A_STATEMENT):
        statement = insert(DeliveryRecord).values(made[first : first + ROWS_A_STATEMENT])
        found = session.execute(statement.on_conflict_do_nothing(index_elements=["destination_id", "event_id"]))
        inserted += found.rowcount  # type: ignore[attr-defined]
    return inserted


def _delivery(
    rule: SignalRule, row: Mapping[str, Any], weekly: Mapping[str, int], values: Values, now: dt.datetime
) -> dict[str, Any]:
    value, currency = _value(rule, row, values)
    reason = _reason_to_skip(rule, row, weekly.get(rule.event, 0))
    return {
        "rule_key": rule.key,
        "event_id": row["event_id"],
        "event_name": row["name"],
        "platform_event": rule.platform_event,
        "unit_id": row["unit_id"],
        "event_time": as_utc(row["timestamp"]),
        "value": value,
        "currency": currency,
        "status": "skipped" if reason else "pending",
        "reason": reason,
        "attempts": 0,
        "next_attempt_at": now,
        "created_at": now,
    }


def _valued(
    session: Session, project_id: int, rules: Sequence[SignalRule], rows: Sequence[Mapping[str, Any]]
) -> set[tuple[str, str]]:
    """Return the (rule, unit) pairs whose predicted value was sent or queued before."""
    predicted = [rule.key for rule in rules if rule.value.get("mode") == "predicted"]
    units = sorted({row["unit_id"] for row in rows} - {""})
    if not predicted or not units:
        return set()
    found = session.exec(
        select(DeliveryRecord.rule_key, DeliveryRecord.unit_id)
        .where(
            DeliveryRecord.project_id == project_id,
            col(DeliveryRecord.rule_key).in_(predicted),
            col(DeliveryRecord.unit_id).in_(units),
            col(DeliveryRecord.status).in_(["pending", "sent", "unknown"]),
            col(DeliveryRecord.value) > 0,
        )
        .distinct()
    )
    return set(found.all())


def _value_once(delivery: dict[str, Any], rule: SignalRule, valued: set[tuple[str, str]]) -> None:
    # A predicted value is of a person, not of an occurrence: repeats say 0, because leaving the value out makes a
    # platform put its own default in.
    if rule.value.get("mode") != "predicted" or delivery["value"] is None or delivery["status"] == "skipped":
        return
    pair = (rule.key, delivery["unit_id"])
    if pair in valued:
        delivery["value"] = 0.0
    valued.add(pair)


def _reason_to_skip(rule: SignalRule, row: Mapping[str, Any], weekly: int) -> str | None:
    if not row["consent_ad_user_data"]:
        return "no consent to ad_user_data"
    if weekly < rule.minimum_weekly_events:
        return f"below the rule's minimum_weekly_events: {weekly} of {rule.minimum_weekly_events}"
    return None


def _value(rule: SignalRule, row: Mapping[str, Any], values: Values) -> tuple[float | None, str | None]:
    mode = rule.value.get("mode", "none")
    if mode == "fixed":
        return float(rule.value["amount"]), values.currency
    if mode == "property" and row["value"] is not None:
        return float(row["value"]), row["currency"] or values.currency
    if mode == "predicted" and rule.event in values.predicted:
        return round(values.predicted[rule.event], 4), values.currency
    return None, None
