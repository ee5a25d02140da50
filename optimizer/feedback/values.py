"""What one occurrence of an event is worth: predicted from past units, never what the event caused."""

from __future__ import annotations

import datetime as dt

from optimizer.errors import NotFoundError
from optimizer.feedback.outbox import Values
from optimizer.feedback.rules import list_rules
from optimizer.signals.answers import SignalsRequest
from optimizer.signals.goal import default_goal
from optimizer.signals.service import rank_signals
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Project


def current_values(stores: Stores, project_id: int, *, now: dt.datetime) -> Values:
    """Predict values for the goal of the policy or, without one, the only macro conversion of the catalog.

    Without such a goal, or while nothing carries a value, `predicted` rules send no value.
    """
    with stores.control.reading() as session:
        currency = session.get_one(Project, project_id).currency
        rules = list_rules(session, project_id, enabled_only=True)
        goal = default_goal(session, project_id)
    if goal is None or not any(rule.value.get("mode") == "predicted" for rule in rules):
        return Values({}, currency)
    try:
        ranking = rank_signals(stores, project_id, SignalsRequest(goal=goal), now=now)
    except NotFoundError:
        return Values({}, currency)
    worth = {signal.event: signal.expected_value for signal in ranking.signals}
    return Values({event: value for event, value in worth.items() if value is not None}, currency)
