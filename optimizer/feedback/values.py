"""What one occurrence of an event is worth: predicted from past units, never what the event caused."""

from __future__ import annotations

import datetime as dt

from sqlmodel import select

from optimizer.errors import NotFoundError
from optimizer.feedback.outbox import Values
from optimizer.feedback.rules import list_rules
from optimizer.signals.service import SignalsRequest, rank_signals
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition, FeedbackPolicy, Project


def current_values(stores: Stores, project_id: int, *, now: dt.datetime) -> Values:
    """Predict values for the goal of the policy or, without one, the only macro conversion of the catalog.

    Without such a goal, or while nothing carries a value, `predicted` rules send no value.
    """
    with stores.control.reading() as session:
        currency = session.get_one(Project, project_id).currency
        rules = list_rules(session, project_id, enabled_only=True)
        policy = session.get(FeedbackPolicy, project_id)
        macros = session.exec(
            select(EventDefinition.name).where(
                EventDefinition.project_id == project_id, EventDefinition.kind == "macro"
            )
        ).all()
    goal = policy.goal if policy else macros[0] if len(macros) == 1 else None
    if goal is None or not any(rule.value.get("mode") == "predicted" for rule in rules):
        return Values({}, currency)
    try:
        ranking = rank_signals(stores, project_id, SignalsRequest(goal=goal), now=now)
    except NotFoundError:
        return Values({}, currency)
    worth = {signal.event: signal.expected_value for signal in ranking.signals}
    return Values({event: value for event, value in worth.items() if value is not None}, currency)
