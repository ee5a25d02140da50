"""Who fits a definition now: one pass over the project's events in the engine, one row per fitting unit returns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

import ibis
import ibis.expr.types as ir

from optimizer.core.rules import Clause, Group, Likelihood, Rule, clauses
from optimizer.feedback.permission import newest_consent
from optimizer.signals.likelihood_versions import Scoring
from optimizer.signals.recent import likelihoods
from optimizer.storage.events import EventStore, as_utc, naive_utc

NEEDED_CONSENT: Mapping[str, tuple[str, ...]] = {"email": ("email",), "ads": ("ad_user_data", "ad_personalization")}
MAXIMUM_ITEMS = 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """One unit that fits a definition.

    Attributes:
        unit_id: The unit.
        user_id: Its user, if known.
        permitted: Whether every consent that the purpose needs is given.
        last_event_at: When it was last seen.
        items: Products of the events that made it fit, newest first.
        value: Σ value of those events; None where none carried one.
        conversion_likelihood: How likely it is to convert soon; None without a model, 0 when not seen lately.
    """

    unit_id: str
    user_id: str | None
    permitted: bool
    last_event_at: dt.datetime
    items: list[str]
    value: float | None
    conversion_likelihood: float | None


def candidates(
    store: EventStore, project_id: int, rule: Rule, purpose: str, *, now: dt.datetime, model: Scoring | None = None
) -> list[Candidate]:
    """Find every unit that fits, with or without consent.

    Args:
        store: The event plane.
        project_id: Whose events.
        rule: A parsed definition.
        purpose: ``email`` or ``ads``.
        now: Until when events count.
        model: What says how likely a unit is to convert; a rule that asks for it needs one.
    """
    events = store.events(project_id)
    events = events.filter(events.unit_id != "", events.timestamp <= naive_utc(now))
    marked = events.mutate(**{f"is{one.place}": _matches(store, events, one, now) for one in clauses(rule)})
    scores = likelihoods(store, project_id, model.recipe, model.model, now) if model else None
    fitting = _fitting(marked, rule, scores)
    people = _beside(fitting, _products(store, marked, rule))
    for signal in NEEDED_CONSENT[purpose]:
        said = newest_consent(events, signal).rename({f"may_{signal}": "said"})
        people = _beside(people, said)
    rows = people.order_by("unit_id").to_pyarrow().to_pylist()
    return [_candidate(row, purpose) for row in rows]


def _beside(people: ir.Table, facts: ir.Table) -> ir.Table:
    joined = people.left_join(facts, "unit_id")
    return joined.select(*people.columns, *(name for name in facts.columns if name != "unit_id"))


def _candidate(row: Mapping[str, Any], purpose: str) -> Candidate:
    return Candidate(
        unit_id=row["unit_id"],
        user_id=row["user_id"],
        permitted=all(row[f"may_{signal}"] is True for signal in NEEDED_CONSENT[purpose]),
        last_event_at=as_utc(row["last_event_at"]),
        items=[row[f"item_{place}"] for place in range(MAXIMUM_ITEMS) if row[f"item_{place}"] is not None],
        value=row["value"],
        conversion_likelihood=row["conversion_likelihood"],
    )


def _matches(store: EventStore, events: ir.Table, clause: Clause, now: dt.datetime) -> ir.BooleanValue:
    matches = (events.name == clause.event) & store.has_properties(events, clause.where)
    if clause.within_days is not None:
        matches &= events.timestamp > ibis.literal(naive_utc(now - dt.timedelta(days=clause.within_days)))
    return matches


def _fitting(marked: ir.Table, rule: Rule, scores: ir.Table | None) -> ir.Table:
    facts = {f"n{one.place}": marked[f"is{one.place}"].cast("int64").sum() for one in clauses(rule)}
    lasts = {f"t{one.place}": marked.timestamp.max(where=marked[f"is{one.place}"]) for one in clauses(rule)}
    units = marked.group_by("unit_id").agg(
        user_id=marked.user_id.max(), last_event_at=marked.timestamp.max(), **facts, **lasts
    )
    unknown = ibis.null("float64")
    if scores is not None:
        units = _beside(units, scores)
        unknown = units.conversion_likelihood.fill_null(0.0)  # not seen lately
    units = units.mutate(conversion_likelihood=unknown)
    return units.filter(_holds(units, rule)).select("unit_id", "user_id", "last_event_at", "conversion_likelihood")


def _holds(units: ir.Table, rule: Rule) -> ir.BooleanValue:
    if isinstance(rule, Likelihood):
        likely = units.conversion_likelihood
        return (likely >= rule.at_least) & (likely < (2.0 if rule.below is None else rule.below))
    if isinstance(rule, Group):
        inner = [_holds(units, one) for one in rule.rules]
        if rule.kind == "not":
            return ~inner[0]
        combined: ir.BooleanValue = reduce(or_ if rule.kind == "any" else and_, inner)
        return combined
    count = units[f"n{rule.place}"]
    if not rule.negated:
        return count >= rule.at_least
    if rule.since is None:
        return count == 0
    begun, own = units[f"t{rule.since}"], units[f"t{rule.place}"]
    return begun.notnull() & (own.isnull() | (own < begun).fill_null(False))  # noqa: FBT003 - Ibis' own signature


def _products(store: EventStore, marked: ir.Table, rule: Rule) -> ir.Table:
    did = [marked[f"is{one.place}"] for one in clauses(rule) if not one.negated]
    matching = marked.filter(reduce(or_, did) if did else ibis.literal(value=False))
    named = matching.mutate(item=store.text_property(matching, "item_id"))
    worth = named.group_by("unit_id").agg(value=named.value.sum())
    newest = named.filter(named.item.notnull()).group_by("unit_id", "item").agg(at=named.timestamp.max())
    window = ibis.window(group_by="unit_id", order_by=[newest["at"].desc(), newest.item])
    placed = newest.mutate(place=ibis.row_number().over(window))
    # One column a place: ClickHouse collects no ordered list through Ibis.
    items = placed.group_by("unit_id").agg(
        **{f"item_{place}": placed.item.max(where=placed.place == place) for place in range(MAXIMUM_ITEMS)}
    )
    joined = worth.left_join(items, "unit_id")
    return joined.select("unit_id", "value", *(f"item_{place}" for place in range(MAXIMUM_ITEMS)))
