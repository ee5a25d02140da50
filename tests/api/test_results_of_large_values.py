"""Values stored before ingest bounded them: their squares are no numbers, and every reading says so and answers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from apiflask import APIFlask

from optimizer.experiments.aa import ReplayRequest, replay_history
from optimizer.storage.events import COUNT_SCHEMA
from optimizer.storage.stores import Stores
from tests.conftest import Clock, KeyedClient
from tests.fixtures.results import START, Add, people, read, run
from tests.jobs.test_jobs import ring

METRICS: dict[str, dict[str, Any]] = {
    "spent": {"type": "sum", "event": "purchase", "window_hours": 24},
    "capped": {"type": "sum", "event": "purchase", "cap": {"value": 100}},
    "typical": {"type": "quantile", "event": "purchase", "quantile": 0.5},
    "largest": {"type": "quantile", "event": "purchase", "quantile": 0.999},
    "bought": {"type": "count", "event": "purchase"},
}


@pytest.fixture(params=[1e300, 1.7e308])
def broken(
    shop: KeyedClient,
    add_events: Add,
    add_exposures: Add,
    clock: Clock,
    request: pytest.FixtureRequest,
) -> KeyedClient:
    for key, body in METRICS.items():
        assert shop.put(f"/v1/metrics/{key}", json=body).status_code == 200
    people(add_events, add_exposures, 600, device="mobile")
    for user in ("u1", "u3", "u5"):  # of the treatment
        add_events([{"name": "purchase", "user_id": user, "timestamp": START.replace(hour=23, minute=59, second=59),
                     "value": request.param}])  # fmt: skip
    clock.forward(days=3)
    return shop


def statuses(body: dict[str, Any]) -> dict[str, str]:
    return {one["metric"]: one["comparisons"][0]["status"] for one in body["metrics"]}


@pytest.mark.parametrize("covariate_days", [0, 7])
def test_a_result_has_a_status_and_a_sentence_where_it_has_no_number(
    broken: KeyedClient, covariate_days: int
) -> None:
    secondary = ["capped", "typical", "largest", "bought", "order-value", "revenue"]
    rails = [{"metric": "spent", "margin_relative": 0.1}]
    run(broken, primary_metric="spent", goal_metric="revenue", secondary_metrics=secondary, guardrail_metrics=rails,
        covariate_days=covariate_days, planned_visitors=900)  # fmt: skip
    for query in ("", "?dimension=device"):
        body = read(broken, query)
        assert statuses(body) == {
            "spent": "too_large", "revenue": "ok", "capped": "ok", "typical": "ok", "largest": "too_large",
            "bought": "ok", "order-value": "too_large",
        }  # fmt: skip
    spent = body["metrics"][0]
    assert "before values were bounded" in spent["comparisons"][0]["detail"]
    assert spent["variants"][1]["sum"] is None
    assert spent["variants"][0]["mean"] is not None
    assert body["decision"]["action"] == "continue"
    assert any("before values were bounded" in reason for reason in body["decision"]["reasons"])
    for form in ("html", "csv", "json", "png"):
        assert broken.get(f"/v1/experiments/pdp/report?format={form}").status_code == 200


def test_a_stopped_one_enters_the_history_without_it(broken: KeyedClient, app: APIFlask, clock: Clock) -> None:
    run(broken, primary_metric="spent", secondary_metrics=["bought"])
    assert broken.post("/v1/experiments/pdp/stop", json={}).status_code == 200
    clock.forward(days=5)
    assert ring(app, "remember_experiments", clock).summary["entered"] == 1
    [past] = broken.get("/v1/experiments/history").json["data"]
    assert "bought" in past["metrics"]
    assert "spent" not in past["metrics"]


def test_a_replay_says_so_too(broken: KeyedClient, stores: Stores, project_id: int) -> None:
    assert broken.get("/v1/metrics").status_code == 200
    request = ReplayRequest(start=START.date(), days=3, metrics=["spent", "capped", "bought", "order-value"], bits=5)
    found = {(row.metric, row.method): row for row in replay_history(stores, project_id, request).rates}
    for metric in ("spent", "order-value"):
        assert found[metric, "fixed"].verdict == "no_verdict"
        assert "too large" in found[metric, "fixed"].detail
    for metric in ("capped", "bought"):
        assert found[metric, "fixed"].splits == 31


def test_totals_too(shop: KeyedClient, stores: Stores, project_id: int, clock: Clock) -> None:
    assert shop.put("/v1/metrics/spent", json={"type": "sum", "event": "purchase"}).status_code == 200
    run(shop, primary_metric="spent")
    own = {
        "project_id": project_id,
        "system": "own",
        "date": START.date(),
        "experiment": "pdp",
        "dimensions": "{}",
        "visitors": 100,
        "occurrences": 100,
        "sequence": 1,
        "received_at": START.replace(tzinfo=None),
    }
    rows = [
        {**own, "variant": arm, "name": name, "value": value, "value_squares": value}
        for arm in ("control", "treatment")
        for name, value in (("visit", 0.0), ("purchase", 1e300))
    ]  # fmt: skip
    stores.events.append({"counts": pa.Table.from_pylist(rows, schema=COUNT_SCHEMA)})
    clock.forward(days=2)
    assert statuses(read(shop)) == {"spent": "too_large"}
