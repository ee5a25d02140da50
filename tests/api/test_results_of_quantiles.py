"""Quantile metrics through the whole service: what is read is what the same numbers say in memory."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import numpy as np
import pytest

from optimizer.client import Result
from optimizer.core.stats.quantiles import clustered_quantile
from tests.conftest import Clock, KeyedClient
from tests.fixtures.results import START, Add, read, run

SLOW = {"type": "quantile", "event": "view_item", "quantile": 0.9, "of": "load_ms", "direction": "decrease"}
Loads = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def loads(shop: KeyedClient, add_events: Add, add_exposures: Add) -> Loads:
    """600 visitors a variant view pages, which take 20% longer for the treatment; whose slowness is the visitor's."""
    assert shop.put("/v1/metrics/slow", json=SLOW).status_code == 200
    rng = np.random.default_rng(5)
    made, events, exposures = {}, [], []
    for variant, factor in (("control", 1.0), ("treatment", 1.2)):
        counts = rng.poisson(4, 600)
        unit = np.repeat(np.arange(600), counts)
        own, each = rng.normal(0, 0.3, 600), rng.normal(0, 0.2, len(unit))
        values = np.round(400 * factor * np.exp(own[unit] + each), 1)
        made[variant] = (values, unit)
        first = [START + dt.timedelta(seconds=40 * number) for number in range(600)]
        exposures += [
            {"experiment": "pdp", "variant": variant, "user_id": f"{variant}{n}", "timestamp": at}
            for n, at in enumerate(first)
        ]
        events += [
            {"name": "view_item", "user_id": f"{variant}{n}", "timestamp": first[n] + dt.timedelta(seconds=place),
             "properties": {"load_ms": value, "theme": "x" if n % 3 else "y"}}
            for place, (n, value) in enumerate(zip(unit.tolist(), values.tolist(), strict=True))
        ]  # fmt: skip
    events += [
        {"name": "view_item", "user_id": "control1", "timestamp": START - dt.timedelta(hours=1),
         "properties": {"load_ms": 9e9}},
        {"name": "view_item", "user_id": "control1", "timestamp": START + dt.timedelta(hours=1),
         "properties": {"load_ms": "9000"}},
        {"name": "view_item", "user_id": "control1", "timestamp": START + dt.timedelta(hours=1)},
    ]  # fmt: skip
    add_exposures(exposures)
    add_events(events)
    return made


def metric(body: dict[str, Any], key: str = "slow") -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in body["metrics"] if one["metric"] == key)
    return found


def test_a_primary_quantile_decides_and_is_shown_everywhere(shop: KeyedClient, loads: Loads, clock: Clock) -> None:
    run(shop, primary_metric="slow", goal_metric="purchase", planned_visitors=1_200, covariate_days=7)
    clock.forward(days=1)
    body = read(shop)
    found = metric(body)
    control, treatment = (clustered_quantile(*loads[arm], 0.9) for arm in ("control", "treatment"))
    assert (found["type"], found["quantile"], found["of"], found["series"]) == ("quantile", 0.9, "load_ms", [])
    assert [arm["mean"] for arm in found["variants"]] == [control.value, treatment.value]
    assert [arm["occurrences"] for arm in found["variants"]] == [control.observations, treatment.observations]
    assert [arm["units"] for arm in found["variants"]] == [600, 600]
    assert [(arm["sum"], arm["conversions"]) for arm in found["variants"]] == [(None, None)] * 2
    [one] = found["comparisons"]
    assert one["status"] == "ok"
    assert one["absolute"] == pytest.approx(treatment.value - control.value)
    half = (one["absolute_interval"][1] - one["absolute_interval"][0]) / 2
    error = np.hypot(control.standard_error or 0, treatment.standard_error or 0)
    assert half / error == pytest.approx(1.96 * 1.5486, rel=1e-3)  # of a sequence at its planned size
    assert one["covariate"] == "not_for_quantiles"
    assert "do not adjust a quantile" in one["detail"]
    assert body["decision"]["action"] == "stop"  # slower is worse
    assert "treatment is worse than control" in body["decision"]["reasons"][0]
    assert body["decision"]["goal_forecast"] is None
    rows = list(csv.DictReader(io.StringIO(shop.get("/v1/experiments/pdp/report?format=csv").text)))
    assert (rows[0]["type"], rows[0]["quantile"], float(rows[0]["baseline_mean"])) == (
        "quantile",
        "0.9",
        control.value,
    )
    page = shop.get("/v1/experiments/pdp/report?format=html").text
    assert "90th percentile" in page
    assert "90th percentile" in Result.model_validate(body)._repr_html_()


def test_a_guardrail_and_a_secondary_metric_may_be_quantiles(shop: KeyedClient, loads: Loads, clock: Clock) -> None:
    median = {**SLOW, "quantile": 0.5, "window_hours": 1}
    assert shop.put("/v1/metrics/median", json=median).status_code == 200
    rails = [{"metric": "slow", "margin_relative": 0.05}]
    run(shop, secondary_metrics=["median"], guardrail_metrics=rails, planned_visitors=1_200)
    clock.forward(days=1)
    body = read(shop, "?dimension=theme")
    [found] = metric(body, "median")["comparisons"]
    control, treatment = (clustered_quantile(*loads[arm], 0.5) for arm in ("control", "treatment"))
    assert found["absolute"] == pytest.approx(treatment.value - control.value, rel=0.02)  # an hour leaves some out
    assert found["significant"]
    assert metric(body, "slow")["role"] == "guardrail"
    values = {one["value"]: one for one in body["dimension"]["values"]}
    assert set(values) >= {"x", "y"}
    occurrences = [metric(one)["variants"][0]["occurrences"] for one in values.values()]
    assert sum(occurrences) == control.observations


def test_with_little_it_is_too_early(shop: KeyedClient, add_events: Add, add_exposures: Add, clock: Clock) -> None:
    shop.put("/v1/metrics/slow", json=SLOW)
    run(shop, primary_metric="slow")
    [one] = metric(read(shop))["comparisons"]
    assert one["status"] == "empty"
    add_exposures([
        {"experiment": "pdp", "variant": ("control", "treatment")[n % 2], "user_id": f"u{n}", "timestamp": START}
        for n in range(80)
    ])  # fmt: skip
    add_events([
        {"name": "view_item", "user_id": f"u{n}", "timestamp": START, "properties": {"load_ms": n}}
        for n in range(0, 80, 2)
    ])  # fmt: skip
    clock.forward(days=1)
    found = metric(read(shop))
    assert [arm["mean"] for arm in found["variants"]] == [70.0, None]
    [one] = found["comparisons"]
    assert one["status"] == "too_early"
    assert one["missing"] > 100  # who do, and enough of them beyond the quantile
    assert "more visitors with an occurrence" in one["detail"]


def test_what_is_no_sum_is_refused_by_name(shop: KeyedClient, clock: Clock) -> None:
    shop.put("/v1/metrics/slow", json=SLOW)
    for body, pointer in (
        ({"goal": "slow"}, "/goal"),
        ({"goal": "purchase", "proxies": ["slow"], "baselines": {"purchase": 0.1, "slow": 0.2}}, "/proxies/0"),
    ):
        answer = shop.post("/v1/plans", json=body)
        assert answer.status_code == 422
        errors = {error["pointer"]: error["detail"] for error in answer.json["errors"]}
        assert "A quantile cannot be planned on" in errors[pointer]
    run(shop, primary_metric="slow")
    counts = [
        {"date": "2026-11-01", "experiment": "pdp", "variant": arm, "name": "visit", "visitors": 100}
        for arm in ("control", "treatment")
    ]
    assert shop.post("/v1/counts", json={"system": "own", "counts": counts}).status_code == 200
    clock.forward(days=2)
    [one] = metric(read(shop))["comparisons"]
    assert one["status"] == "not_in_counts"
    assert "every single occurrence" in one["detail"]


def test_of_what_shall_fall_the_lower_one_wins(shop: KeyedClient, loads: Loads, clock: Clock) -> None:
    assert loads
    run(shop, primary_metric="slow", method="bayesian", planned_visitors=1_200)
    clock.forward(days=1)
    body = read(shop, "?dimension=theme")
    [one] = metric(body)["comparisons"]
    assert one["absolute"] > 0
    assert one["chance_to_win"] < 0.001  # 20% slower
    assert one["expected_loss"] == pytest.approx(one["absolute"], rel=1e-3)
    assert one["baseline_loss"] < 0.01
    assert all(metric(value)["comparisons"][0]["chance_to_win"] < 0.1 for value in body["dimension"]["values"][:2])
    assert "chance to win 0.0%" in body["decision"]["reasons"][0]
