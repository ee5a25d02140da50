"""What a unit has been doing lately, as numbers: the features of the likelihood model, computed in the engine.

Training and scoring ask the same query, so a model cannot be fed other numbers than it learned from. Only what was
known at the moment counts: events up to it, from 30 days back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from optimizer.core.likelihood import LinearModel
from optimizer.storage.among import among
from optimizer.storage.events import EventStore, naive_utc

HISTORY = dt.timedelta(days=30)
RECENT = dt.timedelta(days=7)
MAXIMUM_EVENTS = 20
MAXIMUM_KINDS = 4
MINIMUM_UNITS = 20
STEEPEST_LOG_ODDS = 30.0
KIND_COLUMNS = ("source", "device")
ALWAYS = ("hours since the last event", "hours since the first event", "events, last 30 days")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which features there are, in order.

    Attributes:
        events: Names counted over the last 7 and the last 30 days.
        kinds: (column, value) pairs: the share of a unit's events that carry the value.
    """

    events: tuple[str, ...]
    kinds: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name each feature as a person reads it."""
        counted = (f"{event}, last {days} days" for event in self.events for days in (RECENT.days, HISTORY.days))
        shared = (f"{column} {value}" for column, value in self.kinds)
        return (
            "hours since the last event",
            "hours since the first event",
            "events, last 30 days",
            *counted,
            *shared,
        )


def choose_recipe(store: EventStore, project_id: int, *, since: dt.datetime, until: dt.datetime) -> Recipe:
    """Choose what most units do, and where most come from and with which device."""
    events = _known(store, project_id, since, until)
    people = events.select("name", "unit_id").distinct()
    ranked = people.group_by("name").agg(n=people.count())
    ranked = ranked.filter(ranked.n >= MINIMUM_UNITS).order_by([ibis.desc("n"), "name"]).limit(MAXIMUM_EVENTS)
    names = [row["name"] for row in ranked.to_pyarrow().to_pylist()]
    kinds = []
    for column in KIND_COLUMNS:
        counted = events.filter(events[column].notnull()).group_by(column).agg(n=lambda t: t.count())
        most = counted.order_by([ibis.desc("n"), column]).limit(MAXIMUM_KINDS).to_pyarrow().to_pylist()
        kinds += [(column, row[column]) for row in most]
    return Recipe(tuple(names), tuple(kinds))


def features(
    store: EventStore, project_id: int, recipe: Recipe, at: dt.datetime, units: Collection[str] | None = None
) -> ir.Table:
    """Compute the features of every unit seen in the 30 days up to a moment, in one pass.

    Args:
        store: The event plane.
        project_id: Whose units.
        recipe: Which features.
        at: The moment; nothing later is looked at.
        units: Only these; everybody when omitted.

    Returns:
        unit_id, draw (an integer that is as good as random and the same on every engine), x0, x1, … in the recipe's
        order. Counts and hours enter as ln(1 + n).
    """
    events = _known(store, project_id, at - HISTORY, at)
    if units is not None:
        events = events.filter(among(events.unit_id, units))
    moment = ibis.literal(naive_utc(at))
    recent = events.timestamp > ibis.literal(naive_utc(at - RECENT))
    measures = {
        "x0": _hours(moment, events.timestamp.max()),
        "x1": _hours(moment, events.timestamp.min()),
        "x2": _log(events.count()),
    }
    for name in recipe.events:
        did = events.name == name
        measures[f"x{len(measures)}"] = _log((did & recent).cast("int64").sum())
        measures[f"x{len(measures)}"] = _log(did.cast("int64").sum())
    for column, value in recipe.kinds:
        measures[f"x{len(measures)}"] = (events[column] == value).fill_null(False).cast("float64").mean()  # noqa: FBT003 - Ibis' own signature
    return events.group_by("unit_id").agg(draw=events.id_hash.max(), **measures)


def likelihoods(  # noqa: PLR0917 - what `features` takes, and the model
    store: EventStore,
    project_id: int,
    recipe: Recipe,
    model: LinearModel,
    at: dt.datetime,
    units: Collection[str] | None = None,
) -> ir.Table:
    """Compute the likelihood of every unit seen in the last 30 days, or of some, in the engine.

    Returns:
        unit_id, conversion_likelihood.
    """
    found = features(store, project_id, recipe, at, units)
    log_odds: ir.NumericValue = ibis.literal(model.intercept)
    for place, coefficient in enumerate(model.coefficients):
        if coefficient:
            log_odds = log_odds + found[f"x{place}"] * coefficient
    held = ibis.least(ibis.greatest(log_odds, -STEEPEST_LOG_ODDS), STEEPEST_LOG_ODDS)
    return found.select("unit_id", conversion_likelihood=1 / (1 + (-held).exp()))


def reached_goal(store: EventStore, project_id: int, goal: str, after: dt.datetime, until: dt.datetime) -> ir.Table:
    """Return unit_id of everybody who reached the goal after a moment, up to another."""
    events = _known(store, project_id, after, until)
    return events.filter(events.name == goal).select("unit_id").distinct()


def _known(store: EventStore, project_id: int, after: dt.datetime, until: dt.datetime) -> ir.Table:
    events = store.events(project_id)
    return events.filter(
        events.unit_id != "", events.timestamp > naive_utc(after), events.timestamp <= naive_utc(until)
    )


def _hours(moment: ir.TimestampScalar, other: ir.TimestampValue) -> ir.FloatingValue:
    seconds = moment.epoch_seconds() - other.epoch_seconds()
    return (seconds.cast("float64") / 3600 + 1).ln()


def _log(count: ir.IntegerValue) -> ir.FloatingValue:
    return (count.cast("float64") + 1).ln()
