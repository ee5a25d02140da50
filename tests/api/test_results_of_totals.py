"""Results of which only daily totals are known."""

from __future__ import annotations

import pytest

from tests.conftest import Clock, KeyedClient
from tests.fixtures.results import BODY, START, Add, column, people, read, run


def test_daily_totals_give_what_events_give_and_refuse_the_rest_by_name(
    shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    metrics = {"secondary_metrics": ["paid", "bought", "orders", "order-value", "revenue"], "planned_visitors": 5000}
    shop.put("/v1/metrics/paid", json={"type": "sum", "event": "purchase"})
    shop.put("/v1/metrics/bought", json={"type": "count", "event": "purchase"})
    run(shop, **metrics)
    made = people(add_events, add_exposures, 1000, lift=0.4)
    body = {**BODY, "key": "totals", **metrics, "covariate_days": 7}
    assert shop.post("/v1/experiments", json=body).status_code == 201
    shop.post("/v1/experiments/totals/start", json={"at": START.isoformat()})
    counts = []
    for variant, rows in made.items():
        own = {"date": "2026-11-01", "experiment": "totals", "variant": variant}
        after, value = column(rows, "after"), column(rows, "value")
        counts += [
            {**own, "name": "visit", "visitors": len(rows)},
            {**own, "name": "purchase", "visitors": int((after > 0).sum()), "occurrences": int(after.sum()),
             "value": value.sum(), "value_squares": (value**2).sum()},
        ]  # fmt: skip
    assert shop.post("/v1/counts", json={"system": "swetrix", "counts": counts}).status_code == 200
    assert shop.post("/v1/counts", json={"system": "also", "counts": counts[:1]}).status_code == 200
    clock.forward(days=1)
    events, totals = read(shop), shop.get("/v1/experiments/totals/results").json
    assert totals["units"] == events["units"]
    assert totals["metrics"][0]["comparisons"] == events["metrics"][0]["comparisons"]
    assert totals["metrics"][0]["variants"] == events["metrics"][0]["variants"]
    assert totals["checks"][0] == events["checks"][0]
    assert totals["decision"] == events["decision"]
    by_key = {one["metric"]: one["comparisons"][0] for one in totals["metrics"]}
    assert by_key["bought"]["status"] == "no_sum_of_squares"
    assert by_key["paid"]["absolute"] == pytest.approx(events["metrics"][1]["comparisons"][0]["absolute"])
    for key, word in (("orders", "window"), ("order-value", "ratio"), ("revenue", "cap")):
        assert by_key[key]["status"] == "not_in_counts"
        assert word in by_key[key]["detail"].lower()
    assert any("counts as two visitors" in warning for warning in totals["warnings"])
    assert any("covariate_days has no effect" in warning for warning in totals["warnings"])


def test_more_conversions_than_visitors_are_no_result(shop: KeyedClient, clock: Clock) -> None:
    run(shop)
    own = {"date": "2026-11-01", "experiment": "pdp"}
    counts = [
        {**own, "variant": variant, "name": name, "visitors": visitors}
        for variant in ("control", "treatment")
        for name, visitors in (("visit", 10), ("purchase", 11))
    ]
    shop.post("/v1/counts", json={"system": "x", "counts": counts})
    clock.forward(days=1)
    [found] = read(shop)["metrics"][0]["comparisons"]
    assert found["status"] == "not_in_counts"
    assert "more visitors converted than came" in found["detail"]
