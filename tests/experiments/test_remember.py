"""Finished experiments enter the history by themselves, once, and keep score of their proxy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from sqlmodel import select

from optimizer.storage.stores import Stores
from optimizer.storage.tables import ProxyVerdict
from tests.conftest import Clock, KeyedClient
from tests.jobs.test_jobs import ring

Add = Callable[[list[dict[str, Any]]], None]
Expose = Callable[..., None]
Remember = Callable[[], dict[str, Any]]
START = dt.datetime(2026, 10, 25, tzinfo=dt.UTC)
STOP = START + dt.timedelta(days=5)
HISTORY = "/v1/experiments/history"


@pytest.fixture
def shop(client: KeyedClient) -> KeyedClient:
    for name in ("add_to_cart", "purchase", "wishlist"):
        client.put(f"/v1/catalog/events/{name}", json={"status": "active"})
    body = {"type": "proportion", "event": "purchase", "window_hours": 240}
    assert client.put("/v1/metrics/bought", json=body).status_code == 200
    return client


def conduct(client: KeyedClient, key: str = "pdp", **changes: Any) -> None:
    design = {
        "key": key, "name": "Button",
        "variants": [{"key": "control"}, {"key": "treatment"}, {"key": "off", "weight": 0}],
        "primary_metric": "add_to_cart", "goal_metric": "bought", "planned_visitors": 10_000, **changes,
    }  # fmt: skip
    assert client.post("/v1/experiments", json=design).status_code == 201
    assert client.post(f"/v1/experiments/{key}/start", json={"at": START.isoformat()}).status_code == 200


@pytest.fixture
def visitors(add_events: Add, add_exposures: Add) -> Expose:
    """Expose 200 a variant: 60 and 90 carts, of whom a third buy after a week, 10 and 20 wish something."""

    def expose(key: str = "pdp", *, lost: int = 0) -> None:
        events, exposures = [], []
        for variant, carts, wishes in (("control", 60, 10), ("treatment", 90, 20)):
            for number in range(lost if variant == "treatment" else 0, 200):
                user, at = f"{key}-{variant}-{number}", START + dt.timedelta(minutes=number)
                exposures.append({"experiment": key, "variant": variant, "user_id": user, "timestamp": at})
                if number < carts:
                    events.append({"name": "add_to_cart", "user_id": user, "timestamp": at + dt.timedelta(hours=1)})
                if number < carts and number % 3 == 0:
                    events.append({"name": "purchase", "user_id": user, "timestamp": at + dt.timedelta(days=7)})
                if number >= 200 - wishes:
                    events.append({"name": "wishlist", "user_id": user, "timestamp": at + dt.timedelta(hours=2)})
        add_exposures(exposures)
        add_events(events)

    return expose


@pytest.fixture
def remember(app: APIFlask, clock: Clock) -> Remember:
    """Ring the job."""
    return lambda: ring(app, "remember_experiments", clock).summary


def stop(client: KeyedClient, key: str = "pdp") -> None:
    assert client.post(f"/v1/experiments/{key}/stop", json={"at": STOP.isoformat()}).status_code == 200


def test_it_enters_once_its_windows_and_late_events_are_over(
    shop: KeyedClient, clock: Clock, visitors: Expose, remember: Remember
) -> None:
    conduct(shop)
    visitors()
    assert remember() == {
        "entered": 0, "left_out": 0, "waiting": 0, "failed": [],
    }  # fmt: skip
    stop(shop)
    clock.now = STOP + dt.timedelta(days=11)
    assert remember()["waiting"] == 1
    clock.forward(days=1)
    assert remember()["entered"] == 1
    assert remember()["entered"] == 0
    [past] = shop.get(HISTORY).json["data"]
    assert (past["key"], past["source"], past["left_out"], past["name"]) == ("pdp", "service", "", "Button")
    assert past["stopping"] == {
        "metric": "add_to_cart", "method": "sequential", "alpha": 0.05, "planned_visitors": 10_000,
        "stopped_early": True,
    }  # fmt: skip
    assert past["metrics"] == ["add_to_cart", "bought", "purchase", "wishlist"]
    control, treatment = past["variants"]  # nobody was shown `off`
    # A purchase a week later is in the ten days' window, but after the stop of the event's own metric.
    assert (control["n"], control["sums"]) == (200, [60, 20, 0, 10])
    assert (treatment["n"], treatment["sums"]) == (200, [90, 30, 0, 20])
    assert treatment["cross_products"][0] == [90, 30, 0, 0]
    assert treatment["cross_products"][1] == [30, 30, 0, 0]


def test_the_proxy_is_held_against_the_matured_goal(
    shop: KeyedClient, clock: Clock, stores: Stores, visitors: Expose, remember: Remember
) -> None:
    conduct(shop)
    visitors()
    stop(shop)
    clock.now = STOP + dt.timedelta(days=12)
    remember()
    with stores.control.reading() as session:
        [verdict] = session.exec(select(ProxyVerdict)).all()
    assert (verdict.proxy, verdict.goal, verdict.variant) == ("add_to_cart", "bought", "treatment")
    assert (verdict.basis, verdict.chance, verdict.forecast) == ("assumed_equal", None, None)
    assert verdict.proxy_effect == pytest.approx(0.15)
    assert verdict.goal_effect == pytest.approx(0.05)
    assert (verdict.agreed, verdict.contradicted, verdict.covered) == (True, False, None)


def test_what_was_taken_out_stays_out(shop: KeyedClient, clock: Clock, visitors: Expose, remember: Remember) -> None:
    conduct(shop)
    visitors()
    stop(shop)
    clock.now = STOP + dt.timedelta(days=12)
    remember()
    assert shop.delete(f"{HISTORY}/pdp").status_code == 204
    assert remember()["entered"] == 0
    assert shop.get(HISTORY).json["data"] == []


def test_broken_data_is_kept_beside_and_says_why(
    shop: KeyedClient, clock: Clock, stores: Stores, visitors: Expose, remember: Remember
) -> None:
    conduct(shop)
    visitors(lost=110)
    conduct(shop, "empty")
    stop(shop)
    stop(shop, "empty")
    clock.now = STOP + dt.timedelta(days=12)
    assert remember()["left_out"] == 2
    by_key = {past["key"]: past for past in shop.get(HISTORY).json["data"]}
    assert "cannot be trusted" in by_key["pdp"]["left_out"]
    assert "No exposures" in by_key["empty"]["left_out"]
    assert by_key["empty"]["variants"] == []
    with stores.control.reading() as session:
        assert session.exec(select(ProxyVerdict)).all() == []


def test_an_archived_experiment_and_one_of_one_metric_enter_too(
    shop: KeyedClient, clock: Clock, stores: Stores, visitors: Expose, remember: Remember
) -> None:
    conduct(shop, goal_metric=None, planned_visitors=None)
    visitors()
    stop(shop)
    assert shop.post("/v1/experiments/pdp/archive").status_code == 200
    clock.now = STOP + dt.timedelta(days=2)
    assert remember()["entered"] == 1
    [past] = shop.get(HISTORY).json["data"]
    assert past["stopping"]["stopped_early"] is None
    with stores.control.reading() as session:
        assert session.exec(select(ProxyVerdict)).all() == []
