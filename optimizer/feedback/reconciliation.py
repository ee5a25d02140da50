"""What platforms were told of people, week by week, against what those people then brought.

The table of values is proven on everybody; this is about those who were really told of, at the values that really
left. A platform that learns from carts brings other people who cart, and here it shows first.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field
from sqlmodel import col, select

from optimizer.feedback.accounts import list_destinations
from optimizer.feedback.telling import Values
from optimizer.signals.asked import predicted_rules
from optimizer.storage.among import among
from optimizer.storage.events import EventStore, as_utc, naive_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import DeliveryRecord

HEARD = ("sent", "unknown")  # what the platform has heard, or may have
WEEK = dt.timedelta(days=7)
SHOWN_WEEKS = 12
MOST_DELIVERIES = 50_000
AT_ONCE = 5_000
Told = tuple[dt.datetime, float]


class ToldWeek(BaseModel):
    """People who were first told of in one week."""

    begins: dt.datetime
    people: int
    told: float = Field(description="Σ values that left within their windows.")
    brought: float = Field(description="Σ goal values of the same people in the same windows.")
    ratio: float | None = Field(
        description="told / brought: near the margin where predictions hold and no cap binds."
    )


class Reconciled(BaseModel):
    """One destination's weeks."""

    destination: str
    window_days: int
    weeks: list[ToldWeek] = Field(description="Oldest first; only weeks whose windows have all elapsed.")
    note: str | None = Field(description="Which weeks are left out because too much was told in them.")


class Reconciliation(BaseModel):
    """What every destination was told, and what it came to."""

    goal: str | None
    currency: str
    data: list[Reconciled]


@dataclass(slots=True)
class _Week:
    people: int = 0
    told: float = 0.0
    brought: float = 0.0


@dataclass(slots=True)
class _Person:
    told: list[Told] = field(default_factory=list)
    goals: list[Told] = field(default_factory=list)

    def sums(self, window: dt.timedelta) -> tuple[dt.datetime, float, float]:
        """Return when the first telling was, and what was told and brought from then until the window's end."""
        begun = min(at for at, _ in self.told)
        within = [[v for at, v in part if begun <= at <= begun + window] for part in (self.told, self.goals)]
        return begun, sum(within[0]), sum(within[1])


def reconcile(stores: Stores, project_id: int, values: Values, *, now: dt.datetime) -> Reconciliation:
    """Hold what was told of people against what they brought.

    Args:
        stores: Both planes.
        project_id: Whose.
        values: The values in use: they say which destinations are told of people, and for how long it counts.
        now: When windows must have elapsed.
    """
    with stores.control.reading() as session:
        ids = {row.key: row.id or 0 for row in list_destinations(session, project_id)}
        rules = [rule.key for rule in predicted_rules(session, project_id)]
    data = []
    for key, table in sorted(values.tables.items()):
        window = dt.timedelta(days=table.window_days)
        since = now - window - SHOWN_WEEKS * WEEK
        told, complete_from = _deliveries(stores, ids.get(key, 0), rules, since)
        people = _people(stores.events, project_id, values.goal or "", told, since)
        weeks = _weeks(people, window, (max(since, complete_from), now - window), since)
        note = _left_out(complete_from) if complete_from > since else None
        data.append(Reconciled(destination=key, window_days=table.window_days, weeks=weeks, note=note))
    return Reconciliation(goal=values.goal, currency=values.currency, data=data)


def _deliveries(
    stores: Stores, destination_id: int, rules: Sequence[str], since: dt.datetime
) -> tuple[dict[str, Told], dt.datetime]:
    # The newest ones; where there are more, weeks before the oldest of them are not whole.
    with stores.control.reading() as session:
        rows = session.exec(
            select(DeliveryRecord.event_id, DeliveryRecord.event_time, DeliveryRecord.value)
            .where(
                DeliveryRecord.destination_id == destination_id,
                col(DeliveryRecord.status).in_(HEARD),
                col(DeliveryRecord.rule_key).in_(rules),
                DeliveryRecord.event_time > since,
                col(DeliveryRecord.value).is_not(None),
            )
            .order_by(col(DeliveryRecord.event_time).desc())
            .limit(MOST_DELIVERIES)
        ).all()
    oldest = rows[-1][1] if len(rows) == MOST_DELIVERIES else since
    return {event_id: (at, value or 0.0) for event_id, at, value in rows}, oldest


def _left_out(complete_from: dt.datetime) -> str:
    return (
        f"Only the newest {MOST_DELIVERIES:,} deliveries are looked at: weeks that begin before "
        f"{complete_from:%Y-%m-%d %H:%M} UTC are left out."
    )


def _people(
    store: EventStore, project_id: int, goal: str, told: Mapping[str, Told], since: dt.datetime
) -> Mapping[str, _Person]:
    # People as the event plane tells them apart now: a visitor who became a user since is that user.
    people: defaultdict[str, _Person] = defaultdict(_Person)
    events = store.events(project_id)
    events = events.filter(events.timestamp > naive_utc(since), events.unit_id != "")
    for ids in _pieces(sorted(told)):
        found = events.filter(among(events.event_id, ids)).select("event_id", "unit_id").to_pyarrow().to_pylist()
        for row in found:
            people[row["unit_id"]].told.append(told[row["event_id"]])
    for units in _pieces(sorted(people)):
        reached = events.filter(events.name == goal, among(events.unit_id, units), events.value.notnull())
        for row in reached.select("unit_id", "timestamp", "value").to_pyarrow().to_pylist():
            people[row["unit_id"]].goals.append((as_utc(row["timestamp"]), row["value"]))
    return people


def _weeks(
    people: Mapping[str, _Person], window: dt.timedelta, whole: tuple[dt.datetime, dt.datetime], start: dt.datetime
) -> list[ToldWeek]:
    weeks: defaultdict[int, _Week] = defaultdict(_Week)
    for person in people.values():
        begun, told, brought = person.sums(window)
        number = (begun - start) // WEEK
        if start + number * WEEK < whole[0] or start + (number + 1) * WEEK > whole[1]:
            continue
        week = weeks[number]
        week.people, week.told, week.brought = week.people + 1, week.told + told, week.brought + brought
    return [
        ToldWeek(
            begins=start + number * WEEK,
            people=week.people,
            told=week.told,
            brought=week.brought,
            ratio=week.told / week.brought if week.brought > 0 else None,
        )
        for number, week in sorted(weeks.items())
    ]


def _pieces(ids: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(ids), AT_ONCE):
        yield list(ids[first : first + AT_ONCE])
