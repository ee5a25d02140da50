"""The goal's forecast in a running experiment: learned where past experiments suffice, an assumption elsewhere."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from optimizer.core.proxies.prediction import forecast_goal
from optimizer.signals.history import read_history
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, ProxyVerdict
from tests.conftest import NOON, Clock, KeyedClient
from tests.experiments.ended import START, STOP, Add, Expose, Remember, conduct, stop
from tests.signals.past import experiments


def load(client: KeyedClient, count: int) -> None:
    past = experiments(np.random.default_rng(1), count)
    assert client.post("/v1/experiments/history", json={"experiments": past}).json["accepted"] == count


def read(client: KeyedClient) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/v1/experiments/pdp/results").json
    return body


def test_past_experiments_make_the_forecast_where_they_suffice(
    shop: KeyedClient, stores: Stores, project_id: int, visitors: Expose
) -> None:
    load(shop, 40)
    conduct(shop, goal_metric="purchase")
    visitors()
    found = read(shop)["decision"]["goal_forecast"]
    assert found["basis"].startswith("past_experiments: From 40 past experiments")
    assert (found["experiments"], found["variant"]) == (40, "treatment")
    [carts] = [metric for metric in read(shop)["metrics"] if metric["role"] == "primary"]
    effect = carts["comparisons"][0]["absolute"]
    error = (0.3 * 0.7 / 199 + 0.45 * 0.55 / 199) ** 0.5
    with stores.control.reading() as session:
        history = read_history(session, project_id)
    corpus = history.corpus("add_to_cart", "purchase")
    assert corpus is not None
    expected = forecast_goal(corpus, effect, error**2)
    assert expected is not None
    assert found["absolute"] == pytest.approx(expected.estimate, rel=0.02)
    assert found["absolute_interval"] == pytest.approx(list(expected.interval), rel=0.02)
    # Twenty buyers are too few to be relative to: the past controls' 3% are.
    assert found["relative"] == pytest.approx(found["absolute"] / 0.03, rel=0.02)
    assert 0 < found["relative"] < carts["comparisons"][0]["relative"]  # far from assuming that both move alike
    assert found["chance_positive"] > 0.5


def test_too_few_experiments_leave_an_assumption_that_says_why(shop: KeyedClient, visitors: Expose) -> None:
    load(shop, 2)
    conduct(shop, goal_metric="purchase")
    visitors()
    found = read(shop)["decision"]["goal_forecast"]
    assert found["basis"].startswith("assumed_equal")
    assert "Past experiments do not say: 2 past experiment(s)" in found["basis"]
    assert (found["experiments"], found["absolute"], found["score"]) == (0, None, "")


def test_what_is_assumed_of_the_goal_is_good_where_the_proxys_effect_is(shop: KeyedClient, visitors: Expose) -> None:
    body = {"type": "proportion", "event": "add_to_cart", "direction": "decrease"}
    assert shop.put("/v1/metrics/fewer-carts", json=body).status_code == 200
    conduct(shop, primary_metric="fewer-carts", goal_metric="purchase")
    visitors()
    result = read(shop)
    [one, _] = result["metrics"][0]["comparisons"]
    found = result["decision"]["goal_forecast"]
    assert one["relative"] > 0  # more carts, which was to be avoided
    assert found["relative"] == pytest.approx(-one["shrunk_relative"])
    assert found["interval"] == pytest.approx([-end for end in one["relative_interval"][::-1]])


@pytest.mark.parametrize(("direction", "action"), [("increase", "ship"), ("decrease", "stop")])
def test_where_the_goal_itself_is_worse_the_proxy_does_not_ship(
    shop: KeyedClient, visitors: Expose, direction: str, action: str
) -> None:
    body = {"type": "proportion", "event": "add_to_cart", "direction": direction}
    assert shop.put("/v1/metrics/aim", json=body).status_code == 200
    conduct(shop, goal_metric="aim", method="fixed", planned_visitors=400)
    visitors()
    decision = read(shop)["decision"]
    assert decision["action"] == action
    assert decision["reasons"][0].startswith("treatment is better than control: +0.15 ")
    spoken = [reason for reason in decision["reasons"] if reason.startswith("On the goal: treatment is worse ")]
    assert len(spoken) == (action == "stop")


def test_a_matured_goal_stands_beside_and_a_remembered_test_does_not_foretell_itself(
    shop: KeyedClient, clock: Clock, stores: Stores, visitors: Expose, remember: Remember
) -> None:
    load(shop, 40)
    conduct(shop, goal_metric="purchase")
    visitors(weeks=0)
    stop(shop)
    clock.now = STOP + dt.timedelta(days=13)
    before = read(shop)["decision"]["goal_forecast"]
    assert before["measured"] == pytest.approx(0.5)
    assert before["measured_interval"][0] < 0.5 < before["measured_interval"][1]
    assert before["agrees"] is True
    assert remember()["entered"] == 1
    assert read(shop)["decision"]["goal_forecast"] == before
    with stores.control.reading() as session:
        [verdict] = session.exec(select(ProxyVerdict)).all()
    assert (verdict.basis, verdict.agreed) == ("past_experiments", True)
    assert verdict.forecast == pytest.approx(before["absolute"], rel=0.02)
    assert verdict.chance is not None
    assert 0.5 < verdict.chance < 1
    [score] = [one["score"] for one in shop.get("/v1/signals/proxies?goal=purchase").json["candidates"]
               if one["proxy"] == "add_to_cart"]  # fmt: skip
    assert score["sentence"].startswith("The proxy agreed in 1 of 1; ")
    [test] = shop.get("/v1/signals/proxies/add_to_cart/effects?goal=purchase").json["tests"]
    assert (test["experiment"], test["variant"], test["agreed"]) == ("pdp", "treatment", True)
    assert test["goal_effect"] == pytest.approx(0.05)
    assert test["forecast_interval"][0] < test["forecast"] < test["forecast_interval"][1]


def test_a_goal_that_did_not_move_agrees_with_nothing(
    *, shop: KeyedClient, clock: Clock, stores: Stores, remember: Remember, add_events: Add, add_exposures: Add
) -> None:
    load(shop, 40)
    conduct(shop, goal_metric="purchase")
    for variant, carts in (("control", 90), ("treatment", 60)):
        people = [f"{variant}-{number}" for number in range(200)]
        add_exposures(
            [{"experiment": "pdp", "variant": variant, "user_id": one, "timestamp": START} for one in people]
        )
        later = START + dt.timedelta(hours=1)
        for name, count in (("add_to_cart", carts), ("purchase", 25)):
            add_events([{"name": name, "user_id": one, "timestamp": later} for one in people[:count]])
    stop(shop)
    clock.now = STOP + dt.timedelta(days=13)
    found = read(shop)["decision"]["goal_forecast"]
    assert (found["measured"], found["agrees"]) == (0, None)
    assert found["measured_interval"][0] < 0 < found["measured_interval"][1]
    assert remember()["entered"] == 1
    with stores.control.reading() as session:
        [verdict] = session.exec(select(ProxyVerdict)).all()
    assert (verdict.goal_effect, verdict.agreed, verdict.contradicted) == (0, False, False)


def test_a_drifted_score_warns_whoever_reads_an_experiment_on_the_proxy(
    shop: KeyedClient, stores: Stores, project_id: int, visitors: Expose
) -> None:
    load(shop, 40)
    conduct(shop, goal_metric="purchase")
    visitors()
    with stores.control.session() as session:
        for number in range(12):
            row = Experiment(project_id=project_id, key=f"x{number}", primary_metric="add_to_cart")
            session.add(row)
            session.flush()
            agreed = number < 9
            session.add(
                ProxyVerdict(
                    project_id=project_id, experiment_id=row.id or 0, variant="b", proxy="add_to_cart",
                    goal="purchase", basis="past_experiments", proxy_effect=0.01, proxy_error=0.001,
                    goal_effect=0.001 if agreed else -0.001, goal_error=0.0001, agreed=agreed,
                    contradicted=not agreed, covered=True, chance=0.9, matured_at=NOON,
                )
            )  # fmt: skip
    result = read(shop)
    assert result["decision"]["goal_forecast"]["score"].startswith("The proxy agreed in 9 of 12; 10.8")
    assert any(warning.startswith("Drift: of late it agrees") for warning in result["warnings"])
    [cart] = shop.get("/v1/signals/proxies?goal=purchase&visitors=100000").json["candidates"]
    assert cart["trust"] == "with_care"
    assert any(reason.startswith("Drift") for reason in cart["reasons"])
    body = {"goal": "purchase", "proxies": ["add_to_cart"], "baselines": {"purchase": 0.03, "add_to_cart": 0.3}}
    note = shop.post("/v1/plans", json=body).json["metrics"][1]["proxy"]
    assert note["effect_basis"] == "assumed_equal"  # what the past says of it is not evidence any more
    assert "Drift: of late" in note["warning"]
