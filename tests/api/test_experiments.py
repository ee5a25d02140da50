from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import NOON, Clock, KeyedClient

DRAFT: dict[str, Any] = {
    "key": "pdp-cta",
    "variants": [{"key": "control"}, {"key": "treatment"}],
    "primary_metric": "add_to_cart",
}
Add = Callable[[list[dict[str, Any]]], None]
DAY = dt.timedelta(days=1)


@pytest.fixture
def catalogued(client: KeyedClient) -> KeyedClient:
    for name, kind in (("add_to_cart", "process_milestone"), ("purchase", "macro"), ("refund", "secondary_action")):
        client.put(f"/v1/catalog/events/{name}", json={"kind": kind})
    return client


def draft(client: KeyedClient, **changes: Any) -> Any:
    return client.post("/v1/experiments", json={**DRAFT, **changes})


def run(client: KeyedClient, **changes: Any) -> None:
    """Draft an experiment and start it at midnight before the test's noon."""
    assert draft(client, **changes).status_code == 201
    started = client.post("/v1/experiments/pdp-cta/start", json={"at": "2026-11-01T00:00:00Z"})
    assert started.json["status"] == "running", started.json


def expose(add_exposures: Add, variant: str, count: int, *, first: int = 0, at: dt.datetime = NOON) -> list[str]:
    users = [f"{variant}-{number}" for number in range(first, first + count)]
    add_exposures([{"experiment": "pdp-cta", "variant": variant, "user_id": u, "timestamp": at} for u in users])
    return users


def convert(add_events: Add, users: list[str], name: str = "add_to_cart", **row: Any) -> None:
    later = NOON + dt.timedelta(hours=1)
    add_events([{"name": name, "user_id": user, "timestamp": later, **row} for user in users])


def results(client: KeyedClient) -> dict[str, Any]:
    answer = client.get("/v1/experiments/pdp-cta/results")
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def metric(result: dict[str, Any], role: str = "primary") -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in result["metrics"] if one["role"] == role)
    return found


def check(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in result["checks"] if one["name"] == name)
    return found


def test_results_from_events_equal_the_analysis_of_their_counts(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued, planned_visitors=4000)
    convert(add_events, expose(add_exposures, "control", 1000)[:300])
    convert(add_events, expose(add_exposures, "treatment", 1010)[:390])
    clock.forward(days=1)
    result = results(catalogued)
    counts = [
        {"key": "control", "visitors": 1000, "conversions": 300},
        {"key": "treatment", "visitors": 1010, "conversions": 390},
    ]
    analysis = catalogued.post("/v1/analyses", json={"planned_visitors": 4000, "variants": counts}).json
    assert metric(result)["comparisons"] == analysis["metrics"][0]["comparisons"]
    assert metric(result)["variants"] == analysis["metrics"][0]["variants"]
    assert result["decision"] == analysis["decision"]
    assert check(result, "srm") == analysis["checks"][0]
    assert result["decision"]["action"] == "ship"


def test_reading_adds_no_look_and_a_look_never_changes(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued)
    convert(add_events, expose(add_exposures, "control", 400)[:100])
    users = expose(add_exposures, "treatment", 400)
    convert(add_events, users[:100])
    clock.forward(minutes=1)
    before = results(catalogued)
    assert (before["as_of"], sum(before["units"].values())) == ("2026-11-01T00:00:00Z", 0)
    assert before["exposed_so_far"] == {"control": 400, "treatment": 400}
    clock.forward(days=1)
    first = results(catalogued)
    assert first["as_of"] == "2026-11-02T00:00:00Z"
    convert(add_events, users[100:])  # arrive late, with times before the cut-off
    clock.forward(hours=6)
    assert results(catalogued) == first
    clock.forward(hours=7)
    second = results(catalogued)
    assert second["as_of"] == "2026-11-03T00:00:00Z"
    assert metric(second)["variants"][1]["conversions"] == 400


def test_days_begin_at_the_projects_midnight(catalogued: KeyedClient, add_exposures: Add, clock: Clock) -> None:
    catalogued.patch("/v1/project", json={"time_zone": "America/New_York"})
    run(catalogued)
    expose(add_exposures, "control", 3)
    clock.forward(days=1)
    assert results(catalogued)["as_of"] == "2026-11-02T05:00:00Z"


def test_only_first_exposures_between_start_and_stop_count(
    catalogued: KeyedClient, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued)
    expose(add_exposures, "control", 5, first=0, at=NOON - DAY)  # before the start
    expose(add_exposures, "control", 200, first=100)
    expose(add_exposures, "control", 200, first=100, at=NOON + dt.timedelta(hours=1))  # again: still one unit each
    expose(add_exposures, "treatment", 200)
    expose(add_exposures, "treatment", 7, first=900, at=NOON + 2 * DAY)  # after the stop
    clock.forward(days=3)
    catalogued.post("/v1/experiments/pdp-cta/stop", json={"at": "2026-11-03T00:00:00Z"})
    result = results(catalogued)
    assert result["units"] == {"control": 200, "treatment": 200}
    assert result["as_of"] == "2026-11-03T00:00:00Z"


def test_conversions_before_the_exposure_or_after_the_window_do_not_count(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    catalogued.put("/v1/metrics/cart-1d", json={"type": "proportion", "event": "add_to_cart", "window_hours": 24})
    run(catalogued, primary_metric="cart-1d", secondary_metrics=["add_to_cart"])
    users = expose(add_exposures, "control", 4)
    expose(add_exposures, "treatment", 4)
    for user, hours in zip(users, (-1, 0, 24, 25), strict=True):
        convert(add_events, [user], timestamp=NOON + dt.timedelta(hours=hours))
    clock.forward(days=1)
    young = metric(results(catalogued))
    assert [variant["units"] for variant in young["variants"]] == [0, 0]  # no unit's window has elapsed at midnight
    clock.forward(days=2)
    mature = results(catalogued)
    assert metric(mature)["variants"][0]["conversions"] == 2
    assert metric(mature, "secondary")["variants"][0]["conversions"] == 3


def test_units_in_two_variants_are_left_out_and_more_than_one_percent_is_red(
    catalogued: KeyedClient, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued)
    expose(add_exposures, "control", 100)
    expose(add_exposures, "treatment", 100)
    add_exposures(
        [
            {"experiment": "pdp-cta", "variant": "treatment", "user_id": f"control-{n}", "timestamp": NOON}
            for n in range(3)
        ]
    )
    add_exposures(
        [{"experiment": "pdp-cta", "variant": "tretment", "user_id": f"x{n}", "timestamp": NOON} for n in range(5)]
    )
    clock.forward(days=1)
    result = results(catalogued)
    assert result["units"] == {"control": 97, "treatment": 100}
    assert check(result, "one_variant_per_unit")["passed"] is False
    assert "3 of 205" in check(result, "one_variant_per_unit")["detail"]
    assert check(result, "known_variants")["passed"] is False
    assert result["decision"]["action"] == "investigate"


def test_an_anonymous_experiment_follows_the_visitor_and_reports_exposures_without_one(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued, unit="anonymous")
    add_exposures([{"experiment": "pdp-cta", "variant": "control", "anonymous_id": "a1", "timestamp": NOON}])
    add_exposures([{"experiment": "pdp-cta", "variant": "treatment", "user_id": "u2", "timestamp": NOON}])
    convert(add_events, ["logged-in"], anonymous_id="a1")
    clock.forward(days=1)
    result = results(catalogued)
    assert result["units"] == {"control": 1, "treatment": 0}
    assert metric(result)["variants"][0]["conversions"] == 1
    assert check(result, "identified_exposures")["passed"] is False


def test_counts_and_sums_add_up_what_a_unit_did(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    catalogued.put("/v1/metrics/orders", json={"type": "count", "event": "purchase"})
    catalogued.put("/v1/metrics/revenue", json={"type": "sum", "event": "Purchase", "where": {"channel": "web"}})
    run(catalogued, secondary_metrics=["orders", "revenue"])
    users = expose(add_exposures, "control", 3)
    expose(add_exposures, "treatment", 2)
    for value in (10.0, 20.0):
        convert(add_events, users[:1], "purchase", value=value, properties={"channel": "web"})
    convert(add_events, users[1:2], "purchase", value=5.0, properties={"channel": "shop"})
    clock.forward(days=1)
    orders, revenue = (one for one in results(catalogued)["metrics"] if one["role"] == "secondary")
    assert orders["variants"][0] | {"std": None} == {
        "variant": "control", "units": 3, "conversions": None, "mean": 1.0, "std": None, "sum": 3.0,
        "denominator": None, "occurrences": None, "immature_units": 0,
    }  # fmt: skip
    assert orders["variants"][0]["std"] == pytest.approx(1.0)
    assert revenue["variants"][0]["sum"] == 30.0


@pytest.mark.parametrize(("lost", "action"), [(0, "ship"), (100, "continue")])
def test_a_guardrail_holds_a_winner_back(
    lost: int, action: str, *, catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued, guardrail_metrics=[{"metric": "purchase", "margin_relative": 0.1}])
    control, treatment = expose(add_exposures, "control", 3000), expose(add_exposures, "treatment", 3000)
    convert(add_events, control[:900])
    convert(add_events, treatment[:1200])
    convert(add_events, control[:1500], "purchase")
    convert(add_events, treatment[: 1500 - lost], "purchase")
    clock.forward(days=1)
    decision = results(catalogued)["decision"]
    assert decision["action"] == action
    assert any("Guardrail purchase" in reason for reason in decision["reasons"])


def test_where_less_is_better_less_wins(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    catalogued.put("/v1/metrics/refunds", json={"type": "proportion", "event": "refund", "direction": "decrease"})
    run(catalogued, primary_metric="refunds", guardrail_metrics=[{"metric": "refunds"}])
    convert(add_events, expose(add_exposures, "control", 2000)[:600], "refund")
    convert(add_events, expose(add_exposures, "treatment", 2000)[:300], "refund")
    clock.forward(days=1)
    assert results(catalogued)["decision"]["action"] == "ship"


def test_a_fixed_test_has_one_verdict_at_its_planned_size(
    catalogued: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock
) -> None:
    run(catalogued, method="fixed", planned_visitors=1000)
    control, treatment = expose(add_exposures, "control", 400), expose(add_exposures, "treatment", 400)
    convert(add_events, control[:80])
    convert(add_events, treatment[:160])
    clock.forward(days=1)
    early = metric(results(catalogued))["comparisons"][0]
    assert (early["status"], early["missing"], early["significant"]) == ("not_final", 200, False)
    for variant in ("control", "treatment"):
        expose(add_exposures, variant, 100, first=400, at=NOON + DAY)
    clock.forward(days=1)
    final = results(catalogued)
    assert metric(final)["comparisons"][0]["significant"] is True
    expose(add_exposures, "control", 300, first=1000, at=NOON + 2 * DAY)
    clock.forward(days=1)
    assert results(catalogued) == {**final, "exposed_so_far": {"control": 800, "treatment": 500}}


def test_the_design_is_frozen_once_it_runs(catalogued: KeyedClient) -> None:
    catalogued.put("/v1/metrics/carts", json={"type": "proportion", "event": "add_to_cart"})
    draft(catalogued, primary_metric="carts")
    path = "/v1/experiments/pdp-cta"
    assert catalogued.patch(path, json={"alpha": 0.1}).json["alpha"] == 0.1
    assert catalogued.get(f"{path}/results").status_code == 409
    catalogued.post(f"{path}/start")
    assert catalogued.post(f"{path}/start").status_code == 409
    for change in (
        {"alpha": 0.2},
        {"variants": DRAFT["variants"]},
        {"primary_metric": "purchase"},
        {"method": "fixed"},
    ):
        assert catalogued.patch(path, json=change).status_code == 409
    assert catalogued.put("/v1/metrics/carts", json={"type": "count", "event": "purchase"}).status_code == 409
    assert catalogued.patch(path, json={"name": "Call to action"}).json["name"] == "Call to action"
    assert catalogued.post(f"{path}/archive").status_code == 409
    assert catalogued.get(path).json["status"] == "running"


def test_it_moves_from_draft_to_archive(catalogued: KeyedClient) -> None:
    run(catalogued)
    path = "/v1/experiments/pdp-cta"
    assert catalogued.post(f"{path}/stop", json={"at": "2026-10-01T00:00:00Z"}).status_code == 422
    assert catalogued.post(f"{path}/stop", json={"at": "2026-11-05T00:00:00Z"}).status_code == 422
    assert catalogued.post(f"{path}/stop").json["status"] == "stopped"
    assert catalogued.post(f"{path}/stop").status_code == 409
    assert catalogued.post(f"{path}/archive").json["status"] == "archived"
    assert results(catalogued)["status"] == "archived"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"variants": [{"key": "only"}]}, "/variants"),
        ({"variants": [{"key": "a"}, {"key": "a"}]}, "/variants"),
        ({"variants": [{"key": "a", "weight": 0}, {"key": "b", "weight": 0}]}, "/variants"),
        ({"variants": [{"key": "a", "weight": -1}, {"key": "b"}]}, "/variants/0/weight"),
        ({"alpha": 0}, "/alpha"),
        ({"alpha": 1}, "/alpha"),
        ({"primary_metric": "add_to_crat"}, "/primary_metric"),
        ({"guardrail_metrics": [{"metric": "nothing"}]}, "/guardrail_metrics/0/metric"),
        ({"method": "fixed"}, "/planned_visitors"),
        ({"planned_visitors": 0}, "/planned_visitors"),
        ({"colour": "red"}, "/colour"),
        ({"allocation": 0}, "/allocation"),
        ({"namespace": {"name": "checkout", "from": 0.5, "to": 0.5}}, "/namespace"),
        ({"namespace": {"name": "checkout", "from": 0, "to": 2}}, "/namespace/to"),
        ({"method": "group_sequential", "planned_visitors": 1000}, "/planned_looks"),
        ({"scheduled_start_at": "2026-11-05T00:00:00"}, "/scheduled_start_at"),
        ({"planned_visitors": 2**31}, "/planned_visitors"),
        ({"key": "has space"}, "/key"),
    ],
)
def test_what_does_not_fit_is_named(catalogued: KeyedClient, change: dict[str, Any], pointer: str) -> None:
    answer = draft(catalogued, **change)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert "Value error" not in answer.get_data(as_text=True)
    assert catalogued.get("/v1/experiments").json["data"] == []


def test_a_design_is_shown_as_it_was_given(catalogued: KeyedClient) -> None:
    given = {
        "unit": "session", "allocation": 0.2, "namespace": {"name": "checkout", "from": 0.25, "to": 0.75},
        "method": "group_sequential", "planned_visitors": 9000, "planned_looks": 3, "spending": "pocock",
        "covariate_days": 14, "plan": {"metrics": [{"days": 21}]}, "seed": "of-the-old-tool",
    }  # fmt: skip
    shown = draft(catalogued, **given).json
    assert {name: shown[name] for name in given} == given
    assert len(draft(catalogued, key="other").json["seed"]) == 32  # drawn


def test_a_taken_key_is_a_conflict_and_another_projects_is_unknown(
    catalogued: KeyedClient, client_of: Callable[..., KeyedClient]
) -> None:
    assert draft(catalogued).status_code == 201
    assert draft(catalogued).status_code == 409
    other = client_of("other")
    for path in ("", "/results"):
        assert other.get(f"/v1/experiments/pdp-cta{path}").status_code == 404
    assert other.post("/v1/experiments/pdp-cta/start").status_code == 404


def test_experiments_come_in_pages(catalogued: KeyedClient) -> None:
    for number in range(3):
        draft(catalogued, key=f"e{number}")
    first = catalogued.get("/v1/experiments?limit=2").json
    second = catalogued.get("/v1/experiments", query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [row["key"] for row in first["data"] + second["data"]] == ["e0", "e1", "e2"]
    assert second["next_cursor"] is None
