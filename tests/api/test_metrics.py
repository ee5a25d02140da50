from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import KeyedClient


@pytest.fixture
def catalogued(client: KeyedClient) -> KeyedClient:
    for name in ("view_item", "add_to_cart", "purchase"):
        client.put(f"/v1/catalog/events/{name}", json={"kind": "process_milestone"})
    client.put("/v1/metrics/orders", json={"type": "count", "event": "purchase", "cap": {"value": 10}})
    client.put("/v1/metrics/rate", json={"type": "ratio", "event": "purchase", "denominator": "view_item"})
    client.put("/v1/metrics/slow", json={"type": "quantile", "event": "purchase", "quantile": 0.9, "of": "load_ms"})
    return client


def test_a_metric_is_shown_as_it_was_given(catalogued: KeyedClient) -> None:
    given = {
        "type": "ratio", "event": "purchase", "numerator": "sum", "denominator": "orders", "window_hours": 48.0,
        "where": {"channel": "web"}, "direction": "increase", "cap": {"percentile": 0.99, "value": None},
    }  # fmt: skip
    shown = catalogued.put("/v1/metrics/order-value", json=given)
    assert shown.status_code == 200, shown.json
    assert {name: shown.json[name] for name in given} == given
    assert catalogued.get("/v1/metrics/order-value").json == shown.json
    assert catalogued.get("/v1/metrics/rate").json["numerator"] == "count"
    slow = catalogued.get("/v1/metrics/slow").json
    assert (slow["type"], slow["quantile"], slow["of"]) == ("quantile", 0.9, "load_ms")
    big = catalogued.put("/v1/metrics/big", json={"type": "quantile", "event": "purchase", "quantile": 0.5}).json
    assert big["of"] == "value"


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"event": "purchse"}, "/event", "Near: purchase"),
        ({"event": "!"}, "/event", "letter or a digit"),
        ({"window_hours": 241}, "/window_hours", "10 days = 240 hours"),
        ({"type": "proportion", "cap": {"value": 1}}, "/cap", "only counts and sums"),
        ({"cap": {}}, "/cap", "either value or percentile"),
        ({"cap": {"value": 1, "percentile": 0.9}}, "/cap", "either value or percentile"),
        ({"cap": {"percentile": 1}}, "/cap/percentile", ""),
        ({"denominator": "orders"}, "/denominator", "Only a ratio"),
        ({"numerator": "sum"}, "/numerator", "Only a ratio"),
        ({"type": "ratio"}, "/denominator", "needs a denominator"),
        ({"type": "ratio", "denominator": "nothing"}, "/denominator", "neither a metric nor a known event"),
        ({"type": "ratio", "denominator": "rate"}, "/denominator", "not itself a ratio"),
        ({"type": "ratio", "denominator": "new"}, "/denominator", "divided by itself"),
        ({"type": "ratio", "denominator": "slow"}, "/denominator", "not itself a quantile"),
        ({"quantile": 0.5}, "/quantile", "Only a metric of type quantile"),
        ({"of": "price"}, "/of", "Only a metric of type quantile"),
        ({"type": "quantile"}, "/quantile", "0.5 is the median"),
        ({"type": "quantile", "quantile": 1}, "/quantile", ""),
        ({"type": "quantile", "quantile": 0.5, "of": ""}, "/of", ""),
        ({"type": "quantile", "quantile": 0.5, "cap": {"value": 9}}, "/cap", "needs no cap"),
        ({"type": "quantile", "quantile": 0.5, "denominator": "orders"}, "/denominator", "Only a ratio"),
    ],
)
def test_what_does_not_fit_is_named(catalogued: KeyedClient, change: dict[str, Any], pointer: str, said: str) -> None:
    catalogued.patch("/v1/project", json={"retention_days": 10})
    answer = catalogued.put("/v1/metrics/new", json={"type": "count", "event": "purchase", **change})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert said in answer.json["errors"][0]["detail"]
    assert catalogued.get("/v1/metrics/new").status_code == 404


def test_what_a_running_experiments_ratio_is_divided_by_is_frozen_too(catalogued: KeyedClient) -> None:
    catalogued.put("/v1/metrics/value", json={"type": "ratio", "event": "purchase", "denominator": "orders"})
    variants = [{"key": "a"}, {"key": "b"}]
    body = {"key": "x", "variants": variants, "primary_metric": "value"}
    assert catalogued.post("/v1/experiments", json=body).status_code == 201
    assert catalogued.put("/v1/metrics/orders", json={"type": "count", "event": "purchase"}).status_code == 200
    catalogued.post("/v1/experiments/x/start")
    assert catalogued.put("/v1/metrics/orders", json={"type": "sum", "event": "purchase"}).status_code == 409
    assert catalogued.put("/v1/metrics/value", json={"type": "count", "event": "purchase"}).status_code == 409
