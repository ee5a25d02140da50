"""The surrogate index beside a forecast that is an assumption: counted alike on every engine, and labelled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from optimizer.experiments.surrogates import _before
from optimizer.storage.events import EVENT_SCHEMA, EventStore
from optimizer.storage.open import open_event_store
from optimizer.storage.tables import Experiment, Metric
from tests.conftest import KeyedClient
from tests.experiments.ended import START, Expose, conduct
from tests.experiments.test_scan import table
from tests.fixtures.clickhouse import make_database
from tests.signals.past import experiments

pytestmark = pytest.mark.xdist_group("clickhouse")
Add = Callable[[list[dict[str, Any]]], None]


def before(count: int = 500) -> list[dict[str, Any]]:
    """Visitors of five weeks before the start: 40% have a cart, of whom 20% buy, and 2% of the others."""
    rows = []
    for number in range(count):
        at = START - dt.timedelta(days=35, minutes=number)
        rows.append({"name": "view_item", "user_id": f"old{number}", "timestamp": at})
        carts = number % 5 < 2
        if carts:
            rows.append({"name": "add_to_cart", "user_id": f"old{number}", "timestamp": at + dt.timedelta(hours=1)})
        if (number // 5) % 5 == 0 if carts else number % 50 == 2:
            rows.append({"name": "purchase", "user_id": f"old{number}", "timestamp": at + dt.timedelta(days=3)})
        late = at + dt.timedelta(days=15)  # outside both windows
        rows.append({"name": "add_to_cart", "user_id": f"old{number}", "timestamp": late})
    return rows


@pytest.fixture(params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "surrogates"))
    rows = [{"unit_id": f"u:{row.pop('user_id')}", "properties": '{"size": 2}', **row} for row in before()]
    recent = {
        "unit_id": "u:new",
        "properties": "{}",
        "name": "add_to_cart",
        "timestamp": START - dt.timedelta(days=2),
    }
    made.append({"events": table([*rows, recent], EVENT_SCHEMA, "event_id")})
    yield made
    made.close()


def test_visitors_of_before_are_counted_by_step_and_goal(store: EventStore) -> None:
    experiment = Experiment(project_id=1, key="x", primary_metric="cart", unit="user", started_at=START)
    cart = Metric(project_id=1, key="cart", type="proportion", event="add_to_cart", where={"size": 2})
    bought = Metric(project_id=1, key="bought", type="proportion", event="purchase", window_hours=240)
    units, goals = _before(store, experiment, cart, bought)
    assert units.tolist() == [300, 200]
    assert goals.tolist() == [10, 40]
    quick = Metric(project_id=1, key="quick", type="proportion", event="purchase", window_hours=24)
    assert _before(store, experiment, cart, quick)[1].tolist() == [0, 0]


def forecast(client: KeyedClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/experiments/pdp/results").json["decision"]["goal_forecast"]
    return found


def test_it_stands_beside_an_assumption(shop: KeyedClient, visitors: Expose, add_events: Add) -> None:
    add_events(before())
    conduct(shop, goal_metric="purchase")
    visitors()
    found = forecast(shop)
    assert found["basis"].startswith("assumed_equal")
    context = found["context"]
    with_cart, without = 40 / 200, 10 / 300
    assert context["visitors"] == 500
    assert context["absolute"] == pytest.approx((0.45 - 0.3) * (with_cart - without))
    assert context["relative"] == pytest.approx(context["absolute"] / (0.3 * with_cart + 0.7 * without))
    assert context["interval"][0] < context["relative"] < context["interval"][1]
    assert "never decides" in context["caveat"]


def test_it_is_left_out_where_it_cannot_be_told_or_is_not_needed(
    shop: KeyedClient, visitors: Expose, add_events: Add
) -> None:
    visitors()
    conduct(shop, goal_metric="purchase")
    assert forecast(shop)["context"] is None  # nobody came before
    add_events(before())
    past = experiments(np.random.default_rng(1), 40)
    assert shop.post("/v1/experiments/history", json={"experiments": past}).json["accepted"] == 40
    visitors("second")
    conduct(shop, "second", goal_metric="purchase")
    found = shop.get("/v1/experiments/second/results").json["decision"]["goal_forecast"]
    assert found["basis"].startswith("past_experiments")
    assert found["context"] is None
