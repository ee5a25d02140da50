"""The values in use: one table per set of events that a destination is told of together, learned anew every week."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, Field

from optimizer.feedback.telling import Values
from optimizer.signals.asked import Asked, asked_by_rules, predicted_rules
from optimizer.signals.goal import default_goal
from optimizer.signals.reports import list_reports, readable, store_report
from optimizer.signals.value_shapes import ValueTable
from optimizer.signals.values import value_table
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Project

LEARNED_ANEW = {"ok": dt.timedelta(days=7), "unchecked": dt.timedelta(days=1), "off": dt.timedelta(days=1)}
LOOKED_BACK = 50


class DestinationValues(BaseModel):
    """The values of what one destination is told of."""

    destination: str
    table: ValueTable


class ValuesInUse(BaseModel):
    """The values in use."""

    goal: str | None = Field(description="Null: there is no policy, and not exactly one macro conversion.")
    currency: str
    data: list[DestinationValues]


def current_values(stores: Stores, project_id: int, *, now: dt.datetime) -> Values:
    """Return the values for the goal of the policy or, without one, the only macro conversion of the catalog.

    A table is learned anew when it is a week old, or when other events are told of together, or on other terms.
    Without a goal, or while no table may be used, `predicted` rules send no value.
    """
    with stores.control.reading() as session:
        currency = session.get_one(Project, project_id).currency
        goal = default_goal(session, project_id)
        rules = predicted_rules(session, project_id)
    if goal is None:
        return Values({}, None, currency)
    tables: dict[str, ValueTable] = {}
    learned: list[tuple[Asked, ValueTable]] = []
    for destination in sorted({key for rule in rules for key in rule.destinations}):
        asked = asked_by_rules(rule for rule in rules if destination in rule.destinations).without(goal)
        if not asked.terms:
            continue
        table = next((table for known, table in learned if known == asked), None)
        if table is None:
            table = _table(stores, project_id, goal, asked, now=now)
            learned.append((asked, table))
        tables[destination] = table
    return Values(tables, goal, currency)


def values_in_use(stores: Stores, project_id: int, *, now: dt.datetime) -> ValuesInUse:
    """Show the values in use, with their proof."""
    values = current_values(stores, project_id, now=now)
    data = [DestinationValues(destination=key, table=table) for key, table in sorted(values.tables.items())]
    return ValuesInUse(goal=values.goal, currency=values.currency, data=data)


def _table(stores: Stores, project_id: int, goal: str, asked: Asked, *, now: dt.datetime) -> ValueTable:
    with stores.control.reading() as session:
        rows = list_reports(session, project_id, "value_table", limit=LOOKED_BACK)
    for _, held in readable(rows, ValueTable):
        if held.goal == goal and held.asked == asked and held.computed_at > now - LEARNED_ANEW[held.status]:
            return held
    found = value_table(stores, project_id, goal, asked, now=now)
    if found.status in LEARNED_ANEW:  # what cannot be said yet is asked again, not kept
        with stores.control.session() as session:
            store_report(session, project_id, "value_table", found, now=now)
    return found
