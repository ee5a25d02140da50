from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import NOON, KeyedClient

VISIT = {"control": (21_306, 2_262), "mens": (21_307, 3_894), "womens": (21_387, 3_238)}


def analysis(*variants: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"method": "fixed", "variants": list(variants), **changes}


def counts(key: str, visitors: int, conversions: int) -> dict[str, Any]:
    return {"key": key, "visitors": visitors, "conversions": conversions}


def test_hillstrom_through_the_api(client: KeyedClient) -> None:
    arms = [counts("none", *VISIT["control"]), counts("mens", *VISIT["mens"])]
    answer = client.post("/v1/analyses", json=analysis(*arms)).json
    [found] = answer["metrics"][0]["comparisons"]
    assert [found["absolute"], *found["absolute_interval"]] == pytest.approx([0.076590, 0.069954, 0.083226], abs=5e-7)
    assert answer["metrics"][0]["metric"] == "conversion"
    assert answer["decision"]["action"] == "ship"
    assert answer["checks"][0]["passed"] is True
    assert answer["units"] == {"none": 21_306, "mens": 21_307}


def test_values_are_compared_by_their_sums(client: KeyedClient) -> None:
    arms = [
        {"key": "a", "visitors": 100, "sum": 500.0, "sum_squares": 4_000.0},
        {"key": "b", "visitors": 100, "sum": 600.0, "sum_squares": 5_000.0},
    ]
    answer = client.post("/v1/analyses", json=analysis(*arms)).json
    [found] = answer["metrics"][0]["comparisons"]
    assert found["absolute"] == 1.0
    assert found["method"] == "welch_t, fieller"
    assert answer["metrics"][0]["type"] == "sum"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (analysis(counts("a", 100, 10), counts("b", 0, 0)), "empty"),
        (analysis(counts("a", 100, 10), counts("b", 0, 0), weights={"a": 1, "b": 0}), "zero_weight"),
        (analysis(counts("a", 100, 100), counts("b", 100, 100)), "no_variance"),
        (analysis(counts("a", 100, 10), counts("b", 100, 12), method="sequential"), "too_early"),
        (analysis({"key": "a", "visitors": 9, "sum": 3}, {"key": "b", "visitors": 9, "sum": 4}), "no_sum_of_squares"),
    ],
)
def test_what_cannot_be_judged_is_a_200_with_a_status(client: KeyedClient, body: dict[str, Any], status: str) -> None:
    answer = client.post("/v1/analyses", json=body)
    assert answer.status_code == 200
    assert answer.json["metrics"][0]["comparisons"][0]["status"] == status
    assert "NaN" not in answer.get_data(as_text=True)


def test_a_mismatched_split_is_investigated(client: KeyedClient) -> None:
    body = analysis(counts("a", 4000, 400), counts("b", 4600, 600), method="sequential", planned_visitors=8000)
    assert client.post("/v1/analyses", json=body).json["decision"]["action"] == "investigate"


def test_a_fixed_test_read_early_gives_no_verdict(client: KeyedClient) -> None:
    body = analysis(counts("a", 400, 40), counts("b", 400, 80), planned_visitors=8000)
    answer = client.post("/v1/analyses", json=body).json
    assert answer["decision"]["action"] == "continue"
    assert answer["metrics"][0]["comparisons"][0]["significant"] is False


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (analysis(counts("a", 10, 11), counts("b", 10, 1)), "/variants/0/conversions"),
        (analysis(counts("a", -1, 0), counts("b", 10, 1)), "/variants/0/visitors"),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), weights={"a": 0, "b": 0}), "/weights"),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), weights={"c": 1}), "/weights"),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), alpha=1), "/alpha"),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), alpha=0), "/alpha"),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), baseline="z"), "/baseline"),
        (analysis(counts("a", 10, 1), counts("a", 10, 1)), "/variants/1/key"),
        (analysis(counts("a", 10, 1)), "/variants"),
        (analysis(counts("a", 10, 1), {"key": "b", "visitors": 1, "sum": 1}), "/variants"),
        (analysis({"key": "a", "visitors": 1}, {"key": "b", "visitors": 1}), "/variants/0/conversions"),
        (
            analysis({"key": "a", "visitors": 2, "sum": 9, "sum_squares": 1}, {"key": "b", "visitors": 1, "sum": 1}),
            "/variants/0/sum_squares",
        ),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), method="bayes"), "/method"),
        (analysis(counts("a", 10, 1), counts("b", 10, 1), colour=1), "/colour"),
        (analysis({"key": "a", "visitors": "10", "conversions": 1}, counts("b", 10, 1)), "/variants/0/visitors"),
    ],
)
def test_wrong_counts_are_a_422_that_names_the_field(client: KeyedClient, body: dict[str, Any], pointer: str) -> None:
    answer = client.post("/v1/analyses", json=body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json["errors"]]


def test_the_reference_plan_through_the_api(client: KeyedClient) -> None:
    body = {"goal": "purchase", "proxies": ["add_to_cart"], "baselines": {"purchase": 0.02, "add_to_cart": 0.3}}
    answer = client.post("/v1/plans", json=body).json
    assert [metric["visitors_per_variant"] for metric in answer["metrics"]] == [80_679, 3_760]


def test_baselines_are_measured_from_events(
    client: KeyedClient, add_events: Callable[[list[dict[str, Any]]], None]
) -> None:
    yesterday = NOON - dt.timedelta(days=1)
    rows = [{"name": "visit", "timestamp": yesterday, "user_id": f"u{i}"} for i in range(100)]
    rows += [{"name": "add_to_cart", "timestamp": yesterday, "user_id": f"u{i}"} for i in range(30)] * 2
    rows += [{"name": "purchase", "timestamp": yesterday, "user_id": f"u{i}"} for i in range(2)]
    add_events([*rows, {"name": "purchase", "timestamp": yesterday, "unit_id": ""}])
    answer = client.post("/v1/plans", json={"goal": "purchase", "proxies": ["add_to_cart"]}).json
    assert [metric["baseline"] for metric in answer["metrics"]] == [0.02, 0.3]
    assert answer["metrics"][0]["days"] is not None
    for goal, why in (("visit", "everybody did it"), ("wishlist", "nobody did it")):
        refused = client.post("/v1/plans", json={"goal": goal})
        assert refused.status_code == 422
        assert why in refused.json["errors"][0]["detail"]
        assert refused.json["errors"][0]["pointer"] == f"/baselines/{goal}"


def test_baselines_are_measured_from_counts_when_there_are_no_events(client: KeyedClient) -> None:
    rows = [
        {"date": f"2026-10-{day}", "name": name, "visitors": visitors}
        for day in (30, 31)
        for name, visitors in (("visit", 1000), ("purchase", 20))
    ]
    assert client.post("/v1/counts", json={"system": "s", "counts": rows}).json["accepted"] == 4
    answer = client.post("/v1/plans", json={"goal": "purchase"}).json
    assert answer["metrics"][0]["baseline"] == 0.02
    assert answer["metrics"][0]["days"] == 7 * -(-161_358 // 7_000)


def test_neither_data_nor_baselines_is_a_422(client: KeyedClient) -> None:
    answer = client.post("/v1/plans", json={"goal": "purchase"})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/baselines/purchase"


def test_a_plan_on_a_stored_metric_measures_its_variance_and_waits_for_its_window(
    client: KeyedClient, add_events: Callable[[list[dict[str, Any]]], None]
) -> None:
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    client.put("/v1/metrics/revenue-1d", json={"type": "sum", "event": "purchase", "window_hours": 24})
    came = NOON - dt.timedelta(days=5)
    rows = [{"name": "visit", "timestamp": came, "user_id": f"u{i}"} for i in range(100)]
    add_events([*rows, *({**row, "name": "purchase", "value": 10.0} for row in rows[:20])])
    [goal] = client.post("/v1/plans", json={"goal": "revenue-1d"}).json["metrics"]
    assert (goal["metric"], goal["kind"], goal["basis"], goal["window_days"]) == (
        "revenue-1d",
        "mean",
        "measured",
        1.0,
    )
    assert goal["baseline"] == 2.0
    assert goal["standard_deviation"] ** 2 == pytest.approx(100 * 0.2 * 0.8 * 100 / 99)
    assert goal["days"] % 7 == 1


def test_a_plan_comes_as_a_picture(client: KeyedClient) -> None:
    body = {"goal": "purchase", "proxies": ["<b>cart"], "baselines": {"purchase": 0.02, "b_cart": 0.3}}
    for daily in (None, 1500, 0.001):
        for method in ("fixed", "sequential"):
            asked = {**body, "method": method, "daily_visitors": daily}
            assert client.post("/v1/plans?format=vega", json=asked).json["hconcat"]
    assert client.post("/v1/plans?format=png", json=body).get_data().startswith(b"\x89PNG")
    drawn = client.post("/v1/plans", json=body, headers={"Accept": "image/svg+xml"})
    assert drawn.mimetype == "image/svg+xml"
    assert "b_cart" in drawn.get_data(as_text=True)
    wrong = client.post("/v1/plans?format=gif", json=body)
    assert (wrong.status_code, wrong.json["errors"][0]["pointer"]) == (422, "/query/format")


def past_experiment(number: int, moved: float) -> dict[str, Any]:
    """Forty thousand units in which purchases moved by a tenth of what carts moved."""
    arms = []
    for key, carts, bought in (("control", 0.3, 0.03), ("treatment", 0.3 + moved, 0.03 + 0.1 * moved)):
        sums = [round(20_000 * carts), round(20_000 * bought)]
        both = round(0.9 * sums[1])
        arms.append(
            {"key": key, "n": 20_000, "sums": sums, "cross_products": [[sums[0], both], [both, sums[1]]]},
        )
    return {"key": f"past-{number}", "metrics": ["add_to_cart", "purchase"], "variants": arms}


def test_past_experiments_say_what_the_goals_effect_means_for_a_proxy(client: KeyedClient) -> None:
    moves = np.random.default_rng(4).normal(0.0, 0.03, 60)
    past = {"experiments": [past_experiment(number, move) for number, move in enumerate(moves)]}
    assert client.post("/v1/experiments/history", json=past).json["accepted"] == 60
    body = {"goal": "purchase", "proxies": ["Add to cart", "wishlist"], "daily_visitors": 1500, "relative_mde": 0.1,
            "baselines": {"purchase": 0.03, "add_to_cart": 0.3, "wishlist": 0.1}}  # fmt: skip
    answer = client.post("/v1/plans", json=body).json
    _, carts, wishes = (metric["proxy"] for metric in answer["metrics"])
    assert carts["effect_basis"] == "past_experiments"
    # A goal's effect of .003 is one of .03 on the proxy: as large as its own 10%, and near its own size.
    assert carts["visitors_for_goal_effect"] == pytest.approx(answer["metrics"][1]["visitors_per_variant"], rel=0.25)
    assert 0.5 < carts["quality"] <= 1
    assert "60 past experiments" in carts["warning"]
    assert (wishes["effect_basis"], wishes["quality"]) == ("assumed_equal", None)
    assert "as past experiments say" in answer["recommended"]["reason"]
    assert client.post("/v1/plans", json=body).json == answer
