from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import NOON, Clock, KeyedClient

Add = Callable[[list[dict[str, Any]]], None]
REPORT = "/v1/experiments/pdp-cta/report"
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} & \"'"


@pytest.fixture
def finished(client: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock) -> KeyedClient:
    """An experiment of four days that found something, with a guardrail, a windowed metric, and hostile names."""
    for name in ("add_to_cart", "purchase", "refund"):
        client.put(f"/v1/catalog/events/{name}", json={"kind": "macro"})
    client.put("/v1/metrics/refunds", json={"type": "proportion", "event": "refund", "direction": "decrease"})
    client.put("/v1/metrics/revenue", json={"type": "sum", "event": "purchase", "window_hours": 24})
    variants = [{"key": "control"}, {"key": "<b>bold"}]
    design = {
        "key": "pdp-cta", "name": HOSTILE, "hypothesis": HOSTILE, "variants": variants,
        "primary_metric": "add_to_cart", "goal_metric": "purchase", "secondary_metrics": ["revenue"],
        "planned_visitors": 4000, "relative_mde": 0.1,
        "guardrail_metrics": [{"metric": "refunds", "margin_relative": 0.6}],
    }  # fmt: skip
    assert client.post("/v1/experiments", json=design).status_code == 201
    start = NOON.replace(hour=0)
    client.post("/v1/experiments/pdp-cta/start", json={"at": start.isoformat()})
    for day in range(4):
        at = start + dt.timedelta(days=day, hours=10)
        for variant, carts in (("control", 150), ("<b>bold", 215)):
            users = [f"{variant}-{day}-{number}" for number in range(500)]
            row = {"experiment": "pdp-cta", "variant": variant, "timestamp": at}
            add_exposures([{**row, "user_id": user} for user in users])
            later = at + dt.timedelta(hours=1)
            add_events([{"name": "add_to_cart", "user_id": user, "timestamp": later} for user in users[:carts]])
            bought = [{"name": "purchase", "user_id": user, "timestamp": later, "value": 20.0} for user in users[:40]]
            add_events([*bought, *({"name": "refund", "user_id": user, "timestamp": later} for user in users[:30])])
        clock.forward(days=1)
        client.get("/v1/experiments/pdp-cta/results")
    return client


def test_the_page_says_first_what_to_do_and_holds_everything_itself(finished: KeyedClient) -> None:
    answer = finished.get(REPORT)
    page = answer.get_data(as_text=True)
    assert answer.mimetype == "text/html"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    order = [page.index(words) for words in ("Ship", "Health", "Figures", "Plan and reality", "Method")]
    assert order == sorted(order)
    assert page.count("<svg") == 2  # the forest plot and the way from look to look
    assert not re.findall(r'(?:src|href)="|url\(|@import', page)
    for words in (
        "Forecast for purchase: ",
        "assumed_equal",
        "add_to_cart",
        "less is better",
        "within 1 day",
        "4,000",
        "every look",
        "one variant per unit",
    ):
        assert words in page, words


def test_a_test_that_was_read_once_shows_its_days_instead_of_its_looks(
    client: KeyedClient, add_events: Add, add_exposures: Add
) -> None:
    client.put("/v1/catalog/events/add_to_cart", json={"kind": "macro"})
    design = {"key": "pdp-cta", "variants": [{"key": "a"}, {"key": "b"}], "primary_metric": "add_to_cart"}
    assert client.post("/v1/experiments", json=design).status_code == 201
    start = NOON - dt.timedelta(days=3)
    client.post("/v1/experiments/pdp-cta/start", json={"at": start.isoformat()})
    for day in range(2):
        for variant in "ab":
            at = start + dt.timedelta(days=day, hours=1)
            row = {"experiment": "pdp-cta", "variant": variant, "timestamp": at}
            users = [f"{variant}-{day}-{number}" for number in range(200)]
            add_exposures([{**row, "user_id": user} for user in users])
            late = at + dt.timedelta(minutes=5)
            add_events([{"name": "add_to_cart", "user_id": user, "timestamp": late} for user in users[:60]])
    page = client.get(REPORT).get_data(as_text=True)
    assert "from day to day" in page
    assert "from look to look" not in page


def test_names_are_words_not_markup(finished: KeyedClient) -> None:
    page = finished.get(REPORT).get_data(as_text=True)
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>bold" not in page
    assert "{{ 7*7 }}" in page
    assert "&lt;script&gt;" in page
    assert b"<script" not in finished.get(f"{REPORT}?format=svg").get_data()


def test_the_same_as_a_picture_a_table_and_data(finished: KeyedClient) -> None:
    assert finished.get(f"{REPORT}?format=png").get_data().startswith(b"\x89PNG")
    assert finished.get(REPORT, headers={"Accept": "image/svg+xml"}).get_data().startswith(b"<svg")
    assert finished.get(f"{REPORT}?format=vega").json["layer"]
    report = finished.get(f"{REPORT}?format=json").json
    assert report["result"] == finished.get("/v1/experiments/pdp-cta/results").json
    assert report["headline"] == "Ship <b>bold"
    assert report["decreasing"] == ["refunds"]
    assert report["margins"] == {"refunds": 0.6}
    assert (report["result"]["plan"]["planned_visitors"], report["result"]["plan"]["share"]) == (4000, 1.0)
    assert [one["as_of"] for one in report["series"]] == [f"2026-11-0{day}T00:00:00Z" for day in (2, 3, 4, 5)]


def test_the_table_is_read_back_as_it_was(finished: KeyedClient) -> None:
    answer = finished.get(f"{REPORT}?format=csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
    result = finished.get("/v1/experiments/pdp-cta/results").json
    assert [(row["metric"], row["role"]) for row in rows] == [
        (one["metric"], one["role"]) for one in result["metrics"]
    ]
    primary = result["metrics"][0]["comparisons"][0]
    assert float(rows[0]["relative"]) == primary["relative"]
    assert [float(rows[0]["relative_low"]), float(rows[0]["relative_high"])] == primary["relative_interval"]
    assert rows[0]["decision"] == "ship"


def test_an_experiment_that_has_only_begun_is_reported_without_figures(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    body = {"key": "pdp-cta", "variants": [{"key": "a"}, {"key": "=b"}], "primary_metric": "purchase"}
    client.post("/v1/experiments", json=body)
    assert client.get(REPORT).status_code == 409
    client.post("/v1/experiments/pdp-cta/start")
    page = client.get(REPORT)
    assert page.status_code == 200
    assert "Let it run" in page.get_data(as_text=True)
    assert client.get(f"{REPORT}?format=png").get_data().startswith(b"\x89PNG")
    assert "'=b" in client.get(f"{REPORT}?format=csv").get_data(as_text=True)
    assert client.get("/v1/experiments/none/report").status_code == 404
    assert client.get(f"{REPORT}?format=pdf").json["errors"][0]["pointer"] == "/query/format"
