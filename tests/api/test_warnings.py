"""Warnings of results: each appears where it was planted, with its numbers, and nowhere else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Clock, KeyedClient

Add = Callable[[list[dict[str, Any]]], None]
ByDay = Callable[[int], float]
START = dt.datetime(2026, 12, 7, tzinfo=dt.UTC)  # a Monday
DAYS = 14


@pytest.fixture(params=["day-1", "purchase"], ids=["with a window", "without one"])
def metric(request: pytest.FixtureRequest, client: KeyedClient) -> str:
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    body = {"type": "proportion", "event": "purchase", "window_hours": 24}
    assert client.put("/v1/metrics/day-1", json=body).status_code == 200
    client.put("/v1/catalog/events/visit_start", json={"kind": "secondary_action"})
    per_visit = {"type": "ratio", "event": "purchase", "denominator": "visit_start", "window_hours": 24}
    assert client.put("/v1/metrics/per-visit", json=per_visit).status_code == 200
    median = {"type": "quantile", "event": "purchase", "quantile": 0.5}
    assert client.put("/v1/metrics/median", json=median).status_code == 200
    return str(request.param)


@pytest.fixture
def warned(
    client: KeyedClient, metric: str, add_events: Add, add_exposures: Add, clock: Clock
) -> Callable[..., dict[str, Any]]:
    """Run an experiment with these rates by day and variant, and read it when all is over."""

    def read(
        rate: ByDay,
        effect: ByDay,
        *,
        share: ByDay = lambda _: 0.5,
        days: int = DAYS,
        primary: str = metric,
    ) -> dict[str, Any]:
        clock.now = START
        variants = [{"key": "control"}, {"key": "treatment"}]
        body = {"key": "x", "variants": variants, "primary_metric": primary, "planned_visitors": 40_000}
        assert client.post("/v1/experiments", json=body).status_code == 201
        client.post("/v1/experiments/x/start", json={"at": START.isoformat()})
        exposures, events = [], []
        for day in range(days):
            at = START + dt.timedelta(days=day, hours=9)
            treated = round(400 * share(day))
            for variant, units, likely in (
                ("control", 400 - treated, rate(day)),
                ("treatment", treated, rate(day) + effect(day)),
            ):
                users = [f"{day}{variant}{number}" for number in range(units)]
                exposures += [{"experiment": "x", "variant": variant, "user_id": u, "timestamp": at} for u in users]
                bought = users[: round(units * likely)]
                events += [
                    {"name": "purchase", "user_id": u, "timestamp": at + dt.timedelta(hours=1), "value": 9.0}
                    for u in bought
                ]
                events += [
                    {"name": "visit_start", "user_id": u, "timestamp": at + dt.timedelta(hours=visit)}
                    for place, u in enumerate(users)
                    for visit in range(1, 2 + place % 3)
                ]
        add_exposures(exposures)
        add_events(events)
        clock.now = START + dt.timedelta(days=days + 2, hours=1)
        answer = client.get("/v1/experiments/x/results")
        assert answer.status_code == 200
        result: dict[str, Any] = answer.json
        return result

    return read


def test_a_steady_effect_is_not_warned_of(warned: Callable[..., dict[str, Any]]) -> None:
    result = warned(lambda _: 0.3, lambda _: 0.05)
    assert result["warnings"] == []
    assert result["checks"][0]["passed"]


def test_an_effect_that_fades_is_called_one(warned: Callable[..., dict[str, Any]], metric: str) -> None:
    [said] = warned(lambda _: 0.2, lambda day: 0.25 * 0.75**day)["warnings"]
    assert said.startswith("treatment: The effect fades from +")
    assert "on the first day to" in said
    assert ("%" in said) == (metric == "purchase")  # as a share, where earlier units have had more time


def test_an_effect_of_weekends_asks_for_whole_weeks(warned: Callable[..., dict[str, Any]]) -> None:
    said = warned(lambda _: 0.3, lambda day: 0.2 if day % 7 >= 5 else 0.0)["warnings"]
    [weekday] = [one for one in said if "day of the week" in one]
    assert "from +0 to +0.2" in weekday
    assert "use whole weeks" in weekday


def test_a_ramp_between_unlike_days_gives_the_effect_within_days(warned: Callable[..., dict[str, Any]]) -> None:
    result = warned(lambda day: 0.6 if day < 7 else 0.1, lambda _: 0.0, share=lambda day: 0.1 if day < 7 else 0.5)
    [said] = [one for one in result["warnings"] if "split changed" in one]
    assert "within days it is +0 (standard error 0.017)" in said
    assert "pooled, the effect is −0.2" in said
    assert "Trust the second" in said
    assert result["checks"][0]["passed"] is False  # a split of half and half was promised
    assert result["decision"]["action"] == "investigate"


def test_less_than_a_week_is_said(warned: Callable[..., dict[str, Any]]) -> None:
    [said] = warned(lambda _: 0.3, lambda _: 0.05, days=3)["warnings"]
    assert said == "5.0 days of data: less than a whole week, and weekdays differ from weekends."


def test_a_ratio_is_looked_at_too(warned: Callable[..., dict[str, Any]]) -> None:
    [said] = warned(lambda _: 0.2, lambda day: 0.25 * 0.75**day, primary="per-visit")["warnings"]
    assert said.startswith("treatment: The effect fades from +0.")


def test_a_steady_ratio_is_not_warned_of(warned: Callable[..., dict[str, Any]]) -> None:
    assert warned(lambda _: 0.3, lambda _: 0.05, primary="per-visit")["warnings"] == []


def test_of_a_quantile_it_is_said_that_nothing_was_looked_for(warned: Callable[..., dict[str, Any]]) -> None:
    [said] = warned(lambda _: 0.3, lambda _: 0.05, primary="median")["warnings"]
    assert "not looked for in a quantile" in said
