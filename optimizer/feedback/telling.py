"""Tells each destination one value a person: what is new since the last telling, never the same thing twice.

The first event of a person carries what people who got no further brought; a later, more telling one carries the
difference; repeats, and what comes after the purchase itself, carry 0. Leaving the value out instead would make a
platform put its own default in. Margin and cap apply before the difference is taken, so what is told of a person adds
up to a share of what people who went as far brought, and never to more than the cap of their best event.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from optimizer.feedback.accounts import list_destinations
from optimizer.signals.value_shapes import ValueTable
from optimizer.storage.among import among
from optimizer.storage.events import EventStore, as_utc
from optimizer.storage.tables import DeliveryRecord, SignalRule

ROWS_A_STATEMENT = 500
COUNTED = ("pending", "sent", "unknown")  # what the platform has heard, will hear, or may have heard


@dataclass(frozen=True, slots=True)
class Values:
    """What occurrences are worth.

    Attributes:
        tables: Destination key to the values of what it is told of.
        goal: What those values are of; None without predicted values.
        currency: Of those values.
    """

    tables: Mapping[str, ValueTable]
    goal: str | None
    currency: str


@dataclass(slots=True)
class Telling:
    """What is known of the people of a batch.

    Attributes:
        values: What occurrences are worth.
        told: (destination id, unit) to (time, value) of what was told before.
        goals: Unit to the times at which it reached the goal.
    """

    values: Values
    told: defaultdict[tuple[int, str], list[tuple[dt.datetime, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    goals: defaultdict[str, list[dt.datetime]] = field(default_factory=lambda: defaultdict(list))

    def value(self, destination: tuple[str, int], row: Mapping[str, Any]) -> float | None:
        """Return what a destination is to be told of an occurrence.

        Args:
            destination: Its key and id.
            row: The event.

        Returns:
            The increment, 0 for what says nothing new; None where no value may be told.
        """
        key, id_ = destination
        table = self.values.tables.get(key)
        worth = table.told(row["name"], row["source"]) if table else None
        if table is None or worth is None:
            return None
        at, unit, window = as_utc(row["timestamp"]), row["unit_id"], dt.timedelta(days=table.window_days)
        if any(dt.timedelta(0) <= at - goal <= window for goal in self.goals[unit]):
            return 0.0
        known = sum(value for time, value in self.told[id_, unit] if abs(at - time) <= window)
        return round(max(0.0, worth - known), 4)

    def note(self, destination_id: int, row: Mapping[str, Any], value: float | None) -> None:
        """Remember what is told."""
        if value:
            self.told[destination_id, row["unit_id"]].append((as_utc(row["timestamp"]), value))


def read_telling(  # noqa: PLR0917 - both planes, and whose rows
    session: Session,
    store: EventStore,
    project_id: int,
    rules: Sequence[SignalRule],
    rows: Sequence[Mapping[str, Any]],
    values: Values,
) -> Telling:
    """Read what was told of these rows' people before, and when they reached the goal.

    People are told apart as the event plane sees them now: what was told of an anonymous visitor was told of the user
    whom that visitor became.
    """
    telling = Telling(values)
    predicted = [rule.key for rule in rules if rule.value.get("mode") == "predicted"]
    units = sorted({row["unit_id"] for row in rows} - {""})
    if not predicted or not units or values.goal is None:
        return telling
    times = [row["timestamp"] for row in rows]
    window = dt.timedelta(days=max((table.window_days for table in values.tables.values()), default=0))
    names = {rule.event for rule in rules if rule.key in predicted} | {values.goal}
    events = store.events(project_id)
    near = events.filter(
        among(events.unit_id, units),
        events.name.isin(sorted(names)),
        events.timestamp >= min(times) - window,
        events.timestamp <= max(times) + window,
    )
    found = near.select("event_id", "unit_id", "name", "timestamp").to_pyarrow().to_pylist()
    for one in found:
        if one["name"] == values.goal:
            telling.goals[one["unit_id"]].append(as_utc(one["timestamp"]))
    unit_of = {one["event_id"]: one["unit_id"] for one in found}
    destinations = [row.id or 0 for row in list_destinations(session, project_id)]
    for delivery in _told(session, destinations, predicted, sorted(unit_of)):
        told = (delivery.event_time, delivery.value or 0.0)
        telling.told[delivery.destination_id, unit_of[delivery.event_id]].append(told)
    return telling


def _told(
    session: Session, destinations: Sequence[int], rules: Sequence[str], event_ids: Sequence[str]
) -> list[DeliveryRecord]:
    # By destination and event, the outbox' own key. What else is wanted is not asked for: SQLite would take the index
    # by status, and read every delivery ever sent.
    found: list[DeliveryRecord] = []
    for first in range(0, len(event_ids), ROWS_A_STATEMENT):
        found += session.exec(
            select(DeliveryRecord).where(
                col(DeliveryRecord.destination_id).in_(destinations),
                col(DeliveryRecord.event_id).in_(event_ids[first : first + ROWS_A_STATEMENT]),
            )
        ).all()
    return [one for one in found if one.rule_key in rules and one.status in COUNTED and (one.value or 0.0) > 0]
