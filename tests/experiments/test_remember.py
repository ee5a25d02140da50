"""Finished experiments enter the history by themselves, once, and keep score of their proxy."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from sqlmodel import select

from optimizer.storage.stores import Stores
from optimizer.storage.tables import ProxyVerdict
from tests.conftest import Clock, KeyedClient
from tests.experiments.ended import STOP, Expose, Remember, conduct, stop
from tests.signals.past import experiments

HISTORY = "/v1/experiments/history"


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
    assert shop.patch(f"{HISTORY}/pdp", json={"change": "layout"}).json["change"] == "layout"
    assert shop.get(HISTORY).json["data"][0]["change"] == "layout"
    assert shop.delete(f"{HISTORY}/pdp").status_code == 204
    assert shop.patch(f"{HISTORY}/pdp", json={"change": "layout"}).status_code == 404
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


def test_what_was_measured_here_takes_the_place_of_what_was_imported_under_its_key(
    shop: KeyedClient, clock: Clock, visitors: Expose, remember: Remember
) -> None:
    [imported] = experiments(np.random.default_rng(1), 1)
    assert shop.post(HISTORY, json={"experiments": [{**imported, "key": "pdp"}]}).json["accepted"] == 1
    conduct(shop)
    visitors()
    stop(shop)
    clock.now = STOP + dt.timedelta(days=12)
    assert remember()["entered"] == 1
    [past] = shop.get(HISTORY).json["data"]
    assert (past["source"], past["variants"][0]["n"]) == ("service", 200)
    assert remember()["entered"] == 0
