"""The engine and the pure rules must agree about every unit."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.core.likelihood import LinearModel
from optimizer.core.rules import Clause, Facts, clauses, holds, parse
from optimizer.segments.queries import candidates
from optimizer.signals.likelihood_versions import Scoring
from optimizer.signals.recent import Recipe
from optimizer.storage.stores import Stores
from tests.conftest import NOON

NAMES = ("cart", "buy", "wish")
UNITS = tuple(f"u{number}" for number in range(8))
hours = st.integers(0, 200)
rows = st.lists(st.tuples(st.sampled_from(UNITS), st.sampled_from(NAMES), hours, st.booleans()), max_size=40)
did = st.builds(
    lambda name, days, least, page: {"did": name, "at_least": least, **days, **page},
    st.sampled_from(NAMES),
    st.sampled_from([{}, {"within_days": 2}, {"within_days": 0.5}]),
    st.integers(1, 3),
    st.sampled_from([{}, {"where": {"page": "product"}}]),
)
did_not = st.builds(lambda name: {"did_not": name}, st.sampled_from(NAMES))
since = st.just({"all": [{"did": "cart", "within_days": 4}, {"did_not": "buy", "since": "cart"}]})


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    groups = st.builds(lambda kind, rules: {kind: rules}, st.sampled_from(["all", "any"]), several)
    return groups | st.builds(lambda rule: {"not": rule}, inner)


definitions = st.recursive(did | did_not, nested, max_leaves=4)


def facts(clause: Clause, events: list[tuple[dt.datetime, str, bool]]) -> Facts:
    begin = NOON - dt.timedelta(days=clause.within_days) if clause.within_days else None
    times = [
        at
        for at, name, on_product in events
        if name == clause.event and (begin is None or at > begin) and (on_product or not clause.where)
    ]
    return Facts(len(times), max(times, default=None))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, definition=definitions | since)
def test_the_engine_finds_exactly_the_units_for_which_the_rule_holds(
    stores: Stores, project_id: int, rows: list[Any], definition: dict[str, Any]
) -> None:
    rule = parse(definition)
    kept: dict[str, list[tuple[dt.datetime, str, bool]]] = {}
    for unit, name, ago, on_product in rows:
        kept.setdefault(unit, []).append((NOON - dt.timedelta(hours=ago), name, on_product))
    own = stores.events
    project = project_id + abs(hash(str((rows, definition)))) % 10**6  # a project of its own for each example
    _write(stores, project, kept)
    expected = {
        f"u:{unit}" for unit, events in kept.items() if holds(rule, [facts(c, events) for c in clauses(rule)])
    }
    assert {one.unit_id for one in candidates(own, project, rule, "email", now=NOON)} == expected


def _write(stores: Stores, project: int, kept: dict[str, list[tuple[dt.datetime, str, bool]]]) -> None:
    import pyarrow as pa

    from optimizer.storage.events import EVENT_SCHEMA, naive_utc

    table = [
        {
            "project_id": project,
            "sequence": place,
            "event_id": f"{unit}-{place}",
            "name": name,
            "timestamp": naive_utc(at),
            "received_at": naive_utc(at),
            "unit_id": f"u:{unit}",
            "user_id": unit,
            "properties": '{"page": "product"}' if on_product else "{}",
        }
        for unit, events in kept.items()
        for place, (at, name, on_product) in enumerate(events)
    ]
    stores.events.append({"events": pa.Table.from_pylist(table, schema=EVENT_SCHEMA)})


def test_items_come_newest_first_with_the_value_of_what_made_a_member(
    stores: Stores, project_id: int, add_events: Callable[[list[dict[str, Any]]], None]
) -> None:
    rule = parse({"did": "cart", "within_days": 3})
    carts = [("old", 90, 5.0), ("lamp", 30, 10.0), ("chair", 20, 40.0), ("lamp", 10, 10.0)]
    add_events(
        [
            {
                "name": "cart",
                "user_id": "u1",
                "timestamp": NOON - dt.timedelta(hours=ago),
                "value": value,
                "properties": {"item_id": item},
                "consent_email": True,
            }
            for item, ago, value in carts
        ]
    )
    [found] = candidates(stores.events, project_id, rule, "email", now=NOON)
    assert (found.items, found.value, found.permitted) == (["lamp", "chair"], 60.0, True)
    assert found.last_event_at == NOON - dt.timedelta(hours=10)


def test_a_likelihood_is_asked_of_the_model_and_is_0_for_who_was_not_seen_lately(
    stores: Stores, project_id: int, add_events: Callable[[list[dict[str, Any]]], None]
) -> None:
    def seen(unit: str, days: float, times: int) -> list[dict[str, Any]]:
        return [{"name": "cart", "user_id": unit, "timestamp": NOON - dt.timedelta(days=days)}] * times

    add_events(seen("keen", 1, 20) + seen("cool", 1, 1) + seen("gone", 31, 20))
    recipe = Recipe(("cart",), ())
    model = LinearModel(recipe.names, (0.0, 0.0, 0.0, 2.0, 0.0), -4.0)  # log-odds −4 + 2·ln(1 + carts of 7 days)
    scoring = Scoring(1, recipe, model)

    def fitting(definition: dict[str, Any]) -> dict[str, float | None]:
        found = candidates(stores.events, project_id, parse(definition), "email", now=NOON, model=scoring)
        return {one.unit_id: one.conversion_likelihood for one in found}

    keen, cool = 1 / (1 + math.exp(4) / 21**2), 1 / (1 + math.exp(4) / 4)
    everybody = {"u:keen": pytest.approx(keen), "u:cool": pytest.approx(cool), "u:gone": 0.0}
    assert fitting({"did": "cart"}) == everybody
    assert fitting({"conversion_likelihood": {"at_least": 0.5}}).keys() == {"u:keen"}
    assert fitting({"not": {"conversion_likelihood": {"at_least": 0.5}}}).keys() == {"u:cool", "u:gone"}
    assert fitting({"conversion_likelihood": {"at_least": 0.01, "below": 0.5}}).keys() == {"u:cool"}
