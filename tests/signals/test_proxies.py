"""Proxies judged by past experiments: the truth is recovered where the naive figure is wrong by the known factor."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.core.proxies.covariance import jive, total_covariance
from optimizer.core.proxies.slope import naive_slope, slope_from
from optimizer.signals.history import History
from optimizer.signals.scores import score_answer
from optimizer.storage.tables import PastExperiment, ProxyVerdict
from tests.conftest import NOON, KeyedClient
from tests.signals.past import Shop, experiments

PATH = "/v1/signals/proxies"


def history(items: list[dict[str, Any]]) -> History:
    return History(
        tuple(
            PastExperiment(
                project_id=1, source="import", key=one["key"], metrics=one["metrics"], arms=one["variants"],
                entered_at=NOON,
            )
            for one in items
        )
    )  # fmt: skip


def load(client: KeyedClient, items: list[dict[str, Any]]) -> None:
    answer = client.post("/v1/experiments/history", json={"experiments": items})
    assert answer.json["rejected"] == []


def ask(client: KeyedClient, query: str = "") -> dict[str, Any]:
    answer = client.get(f"{PATH}?goal=purchase{query}")
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def test_on_simulated_visitors_ours_is_unbiased_and_the_naive_slope_wrong_by_the_known_factor() -> None:
    # True effects about as large as their noise, and buyers who nearly all have a cart: noise agrees by itself.
    shop = Shop(spread=0.004, slope=0.02, residual=0.0)
    rng = np.random.default_rng(1)
    items = [experiments(rng, 40, shop) for _ in range(400)]
    corpora = [history(one).corpus("add_to_cart", "purchase") for one in items]
    estimates = {
        "total covariance": np.array([total_covariance(one) for one in corpora if one is not None]),
        "jive": np.array([jive(one) for one in corpora if one is not None]),
    }
    truth = shop.spread**2 * np.array([[1.0, shop.slope], [shop.slope, shop.slope**2]])
    errors = {}
    for name, draws in estimates.items():
        error = draws.std(0) / math.sqrt(len(draws))
        assert (np.abs(draws.mean(0) - truth) < 4 * error).all(), name
        found = slope_from(draws.mean(0))
        assert found is not None
        errors[name] = error[0, 1] / shop.spread**2
        assert abs(found[0] - shop.slope) < 4 * errors[name], name
    whole = history([one for part in items for one in part]).corpus("add_to_cart", "purchase")
    assert whole is not None
    noise = (whole.weights[:, None, None] * whole.noise).sum(0) / whole.weights.sum()
    factor = (shop.slope * shop.spread**2 + noise[0, 1]) / (shop.spread**2 + noise[0, 0]) / shop.slope
    naive = naive_slope(whole)
    assert naive is not None
    assert factor > 2.5
    assert naive[0] / shop.slope == pytest.approx(factor, rel=0.14)  # its own error is 4%
    assert naive[0] - shop.slope > 6 * errors["total covariance"]


def test_a_proxy_that_follows_the_goal_is_found_with_every_figure(shop: KeyedClient) -> None:
    load(shop, experiments(np.random.default_rng(2), 40))
    found = ask(shop, "&visitors=8000")
    assert (found["status"], found["experiments"], found["visitors"]) == ("ok", 40, 8000)
    [cart] = found["candidates"]
    assert (cart["proxy"], cart["status"], cart["comparisons"]) == ("add_to_cart", "ok", 40)
    assert cart["slope_interval"][0] < 0.1 < cart["slope_interval"][1]
    assert cart["slope"] == pytest.approx(0.1, abs=0.015)
    assert cart["slope"] == pytest.approx(cart["jive_slope"], rel=0.2)
    assert cart["proxy_per_goal"] == pytest.approx(4e-5 / (4e-6 + 2.5e-7), rel=0.2)
    assert 0.8 < cart["quality"] <= 1
    assert cart["sign_agreement"] > 0.85
    assert cart["decision_value"]["share"] == pytest.approx(cart["decision_value"]["share_at_size"], abs=0.3)
    low, high = cart["forecast"]["interval"]
    assert low < cart["forecast"]["estimate"] < high
    assert [change["change"] for change in cart["by_change"]] == ["layout", "price"]
    assert {change["experiments"] for change in cart["by_change"]} == {20}
    assert cart["score"]["of"] == 0
    assert found["mixture"] is None  # there is nothing to mix
    assert ask(shop, "&visitors=8000") == found
    smaller = ask(shop, "&visitors=500")["candidates"][0]
    assert smaller["quality"] < cart["quality"]
    assert smaller["trust"] == "with_care"
    assert any("test longer" in reason for reason in smaller["reasons"])


def test_shared_noise_alone_is_not_taken_for_a_proxy(client: KeyedClient) -> None:
    load(client, experiments(np.random.default_rng(3), 60, Shop(spread=0.0, residual=0.0)))
    found = ask(client)
    assert found["status"] == "not_enough_evidence"
    [cart] = found["candidates"]
    assert cart["naive"]["correlation"] > 0.2
    assert cart["naive"]["sign_agreement"] > 0.55
    assert cart["status"] in {"no_variation", "not_enough_evidence"}
    assert (cart["trust"], cart["quality"]) == ("not_yet", cart["quality"])


def test_few_or_no_experiments_are_an_answer_and_an_unknown_goal_is_not(client: KeyedClient) -> None:
    assert client.get(f"{PATH}?goal=purchase").status_code == 404
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    found = ask(client)
    assert (found["status"], found["candidates"]) == ("no_history", [])
    load(client, experiments(np.random.default_rng(4), 2))
    found = ask(client)
    assert (found["status"], found["candidates"][0]["trust"]) == ("not_enough_evidence", "not_yet")
    for query in ("", "&visitors=3", "&visitors=x", "&threshold=0", "&threshold=nan", "&with=1", "&goal="):
        answer = client.get(f"{PATH}?{query}" if not query or "goal" in query else f"{PATH}?goal=purchase{query}")
        assert answer.status_code == 422, query
        assert answer.json["errors"][0]["pointer"].startswith("/query/")


def test_experiments_of_before_an_event_was_sent_say_nothing_of_it(client: KeyedClient) -> None:
    past = experiments(np.random.default_rng(3), 40)
    load(client, past)
    before = client.get(f"{PATH}?goal=purchase").json["candidates"]
    silent = [{**one, "key": f"silent-{place}"} for place, one in enumerate(past[:5])]
    for one in silent:
        one["variants"] = [
            {**arm, "sums": [0, arm["sums"][1]], "cross_products": [[0, 0], [0, arm["sums"][1]]]}
            for arm in one["variants"]
        ]
    load(client, silent)
    found = client.get(f"{PATH}?goal=purchase").json
    assert found["experiments"] == 45
    assert found["candidates"] == before
    for one in past:
        assert client.delete(f"/v1/experiments/history/{one['key']}").status_code == 204
    [alone] = client.get(f"{PATH}?goal=purchase").json["candidates"]
    assert (alone["status"], alone["slope"]) == ("not_enough_evidence", None)
    assert "the same value" in alone["reasons"][0]


def test_a_test_is_not_judged_by_itself(client: KeyedClient) -> None:
    load(client, experiments(np.random.default_rng(5), 12))
    assert ask(client, "&without=past-3")["experiments"] == 11
    answer = client.get(f"{PATH}?goal=purchase&without=nothing")
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/query/without")


def test_early_stops_are_used_and_lower_the_trust(client: KeyedClient) -> None:
    items = experiments(np.random.default_rng(6), 40)
    for one in items[:16]:
        one["stopping"] = {"metric": "purchase", "method": "sequential", "planned_visitors": 200_000}
    for one in items[16:20]:
        one["stopping"] = {"metric": "add_to_cart", "method": "fixed", "planned_visitors": 100}
    load(client, items)
    [cart] = ask(client, "&visitors=200000")["candidates"]
    stopping = cart["stopping"]
    assert (stopping["early"], stopping["early_on_goal"], stopping["unknown"]) == (16, 16, 20)
    assert "too steep" in stopping["warning"]
    assert cart["trust"] == "with_care"
    for one in items[:16]:
        one["stopping"]["metric"] = "add_to_cart"
    load(client, items)
    assert "too flat" in ask(client)["candidates"][0]["stopping"]["warning"]


def test_the_best_mixture_is_no_worse_than_the_best_single_proxy(client: KeyedClient) -> None:
    rng = np.random.default_rng(7)
    items = []
    for number in range(60):  # two proxies that see different parts of the goal
        n, parts = 30_000, rng.normal(0, 0.02, 2)
        rates = np.array([0.3, 0.25, 0.2])
        moved = np.array([parts[0], parts[1], 0.5 * parts.sum()])
        variants = []
        for key, shift in (("control", 0.0), ("treatment", 1.0)):
            values = (rng.random((n, 3)) < rates + shift * moved).astype(int)
            variants.append(
                {"key": key, "n": n, "sums": values.sum(0).tolist(), "cross_products": (values.T @ values).tolist()}
            )
        items.append({"key": f"p{number}", "metrics": ["cart", "wish", "purchase"], "variants": variants})
    load(client, items)
    found = ask(client, "&visitors=50000")
    mixture = found["mixture"]
    assert {one["proxy"] for one in found["candidates"]} == {"cart", "wish"}
    assert mixture["experiments"] == 60
    assert sum(mixture["weights"].values()) == pytest.approx(1.0)
    assert mixture["quality"] > mixture["best_single_quality"] + 0.1
    assert mixture["weights"]["cart"] == pytest.approx(0.5, abs=0.1)


def test_effects_are_listed_with_their_noise_and_both_slopes(client: KeyedClient) -> None:
    items = experiments(np.random.default_rng(8), 30)
    load(client, items)
    found = client.get(f"{PATH}/add_to_cart/effects?goal=purchase").json
    assert (found["experiments"], len(found["points"])) == (30, 30)
    point, (control, treatment) = found["points"][4], items[4]["variants"]
    n = control["n"]
    assert point["proxy_effect"] == pytest.approx((treatment["sums"][0] - control["sums"][0]) / n)
    spread = sum(arm["sums"][0] / n * (1 - arm["sums"][0] / n) / (n - 1) for arm in items[4]["variants"])
    assert point["proxy_variance"] == pytest.approx(spread)
    assert point["covariance"] > 0
    assert found["slope"] == pytest.approx(ask(client)["candidates"][0]["slope"])
    assert client.get(f"{PATH}/wish/effects?goal=purchase").status_code == 404
    assert client.get(f"{PATH}/purchase/effects?goal=purchase").status_code == 404


def verdict(*, agreed: bool, chance: float | None = 0.9, covered: bool | None = True) -> ProxyVerdict:
    return ProxyVerdict(
        project_id=1, experiment_id=1, variant="b", proxy="cart", goal="purchase", basis="past_experiments",
        proxy_effect=0.1, proxy_error=0.01, goal_effect=0.1, goal_error=0.1, agreed=agreed,
        contradicted=not agreed, covered=covered, chance=chance, matured_at=NOON + dt.timedelta(days=1),
    )  # fmt: skip


def test_the_score_is_a_sentence_and_its_drift_a_warning() -> None:
    nine = score_answer([verdict(agreed=place not in {1, 5}) for place in range(11)])
    assert nine.sentence == "The proxy agreed in 9 of 11; 9.9 were to be expected of the 11 with a forecast."
    assert (nine.warning, nine.contradicted, nine.inside_interval) == ("", 2, 11)
    drifted = score_answer([*[verdict(agreed=True)] * 9, *[verdict(agreed=False)] * 3])
    assert drifted.warning.startswith("Drift: of late it agrees with the goal less often")
    missed = score_answer([*[verdict(agreed=True)] * 9, *[verdict(agreed=True, covered=False)] * 2])
    assert "foretells the goal's effect less well" in missed.warning
    both = score_answer([*[verdict(agreed=True)] * 9, *[verdict(agreed=False, covered=False)] * 3]).warning
    assert "agrees with the goal less often and foretells the goal's effect less well than" in both
    unlearned = score_answer([verdict(agreed=False, chance=None, covered=None)] * 5)
    assert (unlearned.sentence, unlearned.warning) == ("The proxy agreed in 0 of 5.", "")


SCALES = [0.0, 1e-9, 1.0, 1e6, 1e12]


@st.composite
def odd_experiments(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Experiments that can exist and hardly do: constant, copied or enormous metrics, arms of two, one sided."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    scales = np.array([draw(st.sampled_from(SCALES)) for _ in range(3)])
    copied = draw(st.booleans())
    items = []
    for number in range(draw(st.integers(1, 7))):
        variants = []
        for key in "abc"[: draw(st.integers(2, 3))]:
            n = draw(st.sampled_from([2, 3, 50]))
            values = rng.standard_normal((n, 3)) * scales + draw(st.sampled_from([0.0, 1.0]))
            values[:, 1] = values[:, 2] if copied else values[:, 1]
            repeated = draw(st.sampled_from([1, 10**6]))
            variants.append({"key": key, "n": n * repeated, "sums": (values.sum(0) * repeated).tolist(),
                             "cross_products": (values.T @ values * repeated).tolist()})  # fmt: skip
        items.append({"key": f"p{number}", "metrics": ["cart", "wish", "purchase"], "variants": variants})
    return items


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=odd_experiments(), visitors=st.sampled_from([4, 10_000, 2**31 - 1]))
def test_no_history_makes_an_answer_that_is_not_one(
    client: KeyedClient, items: list[dict[str, Any]], visitors: int
) -> None:
    client.post("/v1/experiments/history", json={"experiments": items})
    if not client.get("/v1/experiments/history").json["data"]:
        return  # rounding had made all of them impossible
    found = ask(client, f"&visitors={visitors}")
    json.dumps(found, allow_nan=False)
    for one in found["candidates"]:
        shown = client.get(f"{PATH}/{one['proxy']}/effects?goal=purchase")
        assert shown.status_code == 200
        json.dumps(shown.json, allow_nan=False)
        assert all(min(point["proxy_variance"], point["goal_variance"]) >= 0 for point in shown.json["points"])
    for past in client.get("/v1/experiments/history").json["data"]:
        client.delete(f"/v1/experiments/history/{past['key']}")
