"""What rules ask to be told: which events together, on which terms, and for how long what people bring counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from optimizer.core.terms import Terms
from optimizer.storage.tables import SignalRule

MAXIMUM_EVENTS = 10
WINDOW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """What is told of together.

    Attributes:
        terms: By event, in order of names.
        window_days: From the first of them on; the longest that a rule asks for, so that a person who is told of by
            several rules still has one value.
    """

    terms: Mapping[str, Terms]
    window_days: int = WINDOW_DAYS

    def about(self, names: Sequence[str]) -> Asked:
        """Keep some events; those of which no rule tells are told of as they are."""
        return Asked({name: self.terms.get(name, Terms()) for name in sorted(names)}, self.window_days)

    def without(self, goal: str) -> Asked:
        """Leave the goal out, and what is beyond 10 events."""
        kept = sorted(self.terms.keys() - {goal})[:MAXIMUM_EVENTS]
        return Asked({name: self.terms[name] for name in kept}, self.window_days)


def predicted_rules(session: Session, project_id: int) -> list[SignalRule]:
    """Read the enabled rules that send predicted values, by key."""
    rules = session.exec(
        select(SignalRule)
        .where(SignalRule.project_id == project_id, col(SignalRule.enabled).is_(True))
        .order_by(SignalRule.key)
    )
    return [rule for rule in rules if rule.value.get("mode") == "predicted"]


def asked_by_rules(rules: Iterable[SignalRule]) -> Asked:
    """Put rules together; where two tell of one event, the first by key does."""
    terms: dict[str, Terms] = {}
    windows = []
    for rule in rules:
        terms.setdefault(rule.event, terms_of(rule.value))
        windows.append(int(rule.value.get("window_days", WINDOW_DAYS)))
    return Asked(dict(sorted(terms.items())), max(windows, default=WINDOW_DAYS))


def terms_of(value: Mapping[str, Any]) -> Terms:
    """Read a rule's margin and cap; rules from before there were any tell all of it."""
    return Terms(value.get("margin", 1.0), value.get("maximum"))
