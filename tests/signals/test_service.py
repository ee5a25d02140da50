from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from optimizer.signals.answers import SignalsAnswer, SignalsRequest
from optimizer.signals.service import rank_signals
from optimizer.storage.stores import Stores
from tests.conftest import NOON, KeyedClient

AddEvents = Callable[[list[dict[str, Any]]], None]
START = NOON - dt.timedelta(days=60)


def row(user: str, name: str, hours: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "timestamp": START + dt.timedelta(hours=hours), "user_id": user, **more}


def rank(stores: Stores, project_id: int, **request: Any) -> SignalsAnswer:
    return rank_signals(stores, project_id, SignalsRequest(**{"goal": "purchase", **request}), now=NOON)


def test_the_landmark_decides_what_counts(stores: Stores, project_id: int, add_events: AddEvents) -> None:
    add_events(
        [
            *[row(u, "visit", 0) for u in ("early", "late", "after", "none", "young")],
            row("early", "wish", 1), row("early", "purchase", 2),  # converts before the landmark: leaves both groups
            row("late", "wish", 23), row("late", "purchase", 30, value=40.0),
            row("after", "wish", 25), row("after", "purchase", 30, value=60.0),  # did it too late to count as with
            row("young", "wish", 24 * 59),  # the window's end is long past: not naive either
        ]
    )  # fmt: skip
    answer = rank(stores, project_id, landmark_hours=24)
    assert (answer.units, answer.converters, answer.converted_before_landmark) == (4, 2, 1)
    [wish] = [signal for signal in answer.signals if signal.event == "wish"]
    assert (wish.units, wish.rate_with) == (1, 1.0)
    assert wish.rate_without == pytest.approx(1 / 3)
    assert (wish.naive.rate_with, wish.naive.rate_without) == (1.0, 0.0)
    assert wish.median_hours_to_goal == pytest.approx(5.0)
    assert wish.expected_value == pytest.approx((40 + 50 * 25) / 51)
    assert "purchase" not in [signal.event for signal in answer.signals]


def test_units_whose_window_has_not_elapsed_wait(stores: Stores, project_id: int, add_events: AddEvents) -> None:
    add_events(
        [row("old", "visit", 0), row("old", "purchase", 50), {"name": "visit", "timestamp": NOON, "user_id": "new"}]
    )
    assert rank(stores, project_id, landmark_hours=24).units == 1


def test_a_goal_nobody_sent_is_404_and_one_that_is_only_known_is_a_status(
    client: KeyedClient, add_events: AddEvents
) -> None:
    add_events([row("u", "visit", 0)])
    assert client.get("/v1/signals?goal=purchase").status_code == 404
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    answer = client.get("/v1/signals?goal=purchase")
    assert (answer.status_code, answer.json["status"]) == (200, "goal_unreached")
    assert client.get("/v1/signals?goal=purchase&window_days=0").status_code == 422
    assert client.get("/v1/signals").json["errors"][0]["pointer"] == "/query/goal"


def test_groups_are_ranked_apart(stores: Stores, project_id: int, add_events: AddEvents) -> None:
    add_events(
        [row(f"{source}{i}", "visit", 0, source=source) for source in ("google", "mail") for i in range(4)]
        + [row(f"{source}{i}", "wish", 1) for source in ("google", "mail") for i in range(2)]
        + [row("google0", "purchase", 50)]
    )
    answer = rank(stores, project_id, by="source", landmark_hours=24)
    assert [(s.event, s.group, s.units) for s in answer.signals if s.event == "wish"] == [
        ("wish", "google", 2),
        ("wish", "mail", 2),
    ]


def test_immortal_time_does_not_make_noise_a_predictor(
    stores: Stores, project_id: int, add_events: AddEvents
) -> None:
    """People who stay longer do more of everything and buy more; `noise` has nothing to do with buying."""
    rng = np.random.default_rng(5)
    rows = []
    for person in range(3_000):
        user, cause = f"u{person}", rng.random() < 0.3
        stay = rng.exponential(150.0)
        rows.append(row(user, "visit", 0))
        rows += [row(user, "noise", at) for at in rng.uniform(0, stay, rng.poisson(stay / 60))]
        if cause:
            rows.append(row(user, "demo", 1))
        bought = rng.exponential(700.0 if not cause else 180.0)
        if bought < stay:
            rows.append(row(user, "purchase", bought, value=50.0))
    add_events(rows)
    answer = rank(stores, project_id, landmark_hours=6)
    signals = {signal.event: signal for signal in answer.signals}
    noise, demo = signals["noise"], signals["demo"]
    assert noise.naive.lift is not None
    assert noise.naive.lift > 2.5
    assert noise.lift_interval is not None
    assert noise.lift_interval[0] < 1.25
    assert noise.recommendation != "promote"
    assert demo.recommendation == "promote"
    assert demo.q_value is not None
    assert demo.q_value < 0.001
    assert "cause" in answer.caveat


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(finite(part) for part in value.values())
    if isinstance(value, list):
        return all(finite(part) for part in value)
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    ("rows", "query", "status", "said"),
    [
        ([row("u", "visit", 0)], "", "goal_unreached", "None of 1 units"),
        ([row("u", "visit", 0), row("u", "purchase", 30)], "", "nothing_to_compare", "1 of 1 units"),
        (
            [row(f"u{n}", "visit", 0) for n in range(9)],
            "&window_days=365",
            "window_longer_than_history",
            "2026-09-02",
        ),
        ([row(f"u{n}", "visit", 0) for n in range(9)], "&from=2026-10-01T00:00:00Z", "no_units", "Nobody"),
        (
            # Everybody did everything and converted, at the same time and for the same value.
            [row(f"u{n}", name, at, value=5.0) for n in range(9) for name, at in (("visit", 0), ("purchase", 50))],
            "",
            "nothing_to_compare",
            "9 of 9 units",
        ),
    ],
)
def test_what_cannot_be_answered_is_a_status_and_a_sentence(
    client: KeyedClient, add_events: AddEvents, *, rows: list[dict[str, Any]], query: str, status: str, said: str
) -> None:
    add_events(rows)
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    for view in ("", "&landmark_hours=24", "&by=cohort"):
        answer = client.get(f"/v1/signals?goal=purchase{query}{view}")
        assert (answer.status_code, answer.json["status"]) == (200, status)
        assert said in answer.json["detail"]
        assert finite(answer.json)
        assert all(signal["recommendation"] == "watch" or signal["funnel_step"] for signal in answer.json["signals"])


def test_an_event_that_everybody_did_tells_nobody_apart(
    stores: Stores, project_id: int, add_events: AddEvents
) -> None:
    add_events(
        [row(f"u{n}", "visit", 0) for n in range(60)]
        + [row(f"u{n}", "wish", 1) for n in range(0, 60, 2)]
        + [row(f"u{n}", "purchase", 50) for n in range(0, 60, 3)]
    )
    signals = {signal.event: signal for signal in rank(stores, project_id).signals}
    assert (signals["visit"].role, signals["visit"].recommendation) == ("everybody", "watch")
    assert signals["visit"].lift is None
    assert "tells nobody apart" in signals["visit"].reasons[0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("landmark_hours=720", "landmark_hours"),
        ("landmark_hours=0", "landmark_hours"),
        ("by=weather", "by"),
        ("window_days=400", "window_days"),
        ("from=2026-10-02T00:00:00Z&to=2026-10-01T00:00:00Z", "from"),
        ("from=yesterday", "from"),
        ("format=pdf", "format"),
    ],
)
def test_a_wrong_question_names_the_field(client: KeyedClient, add_events: AddEvents, query: str, field: str) -> None:
    add_events([row("u", "purchase", 0)])
    answer = client.get(f"/v1/signals?goal=purchase&{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == f"/query/{field}"


def test_a_landmark_that_keeps_few_converters_brings_the_others_beside_it(
    stores: Stores, project_id: int, add_events: AddEvents
) -> None:
    add_events(
        [row(f"u{n}", "visit", 0) for n in range(80)]
        + [row(f"u{n}", "wish", 0.5) for n in range(0, 80, 2)]
        + [row(f"u{n}", "purchase", 4 if n % 4 else 100) for n in range(0, 80, 2)]
    )
    answer = rank(stores, project_id, landmark_hours=24)
    assert [(one.landmark_hours, one.converters_after) for one in answer.landmarks][:3] == [
        (1, 40),
        (6, 20),
        (24, 20),
    ]
    answer = rank(stores, project_id, landmark_hours=100)
    assert answer.landmarks[-1].converters_after == 0
    wish = next(signal for signal in answer.signals if signal.event == "wish")
    assert [one.landmark_hours for one in wish.by_landmark] == [1, 6, 24, 72, 168]


@pytest.mark.parametrize("by", ["cohort", "device"])
def test_months_and_devices_are_ranked_apart(stores: Stores, project_id: int, add_events: AddEvents, by: str) -> None:
    add_events(
        [row(f"u{n}", "visit", 0 if n % 2 else 700, device="mobile" if n % 2 else "desktop") for n in range(80)]
        + [row(f"u{n}", "wish", 1 if n % 2 else 701) for n in range(0, 80, 3)]
        + [row(f"u{n}", "purchase", 50 if n % 2 else 750) for n in range(0, 80, 5)]
    )
    answer = rank(stores, project_id, by=by, window_days=10)
    wishes = {signal.group: signal.units for signal in answer.signals if signal.event == "wish"}
    names = {"cohort": ("2026-10", "2026-09"), "device": ("desktop", "mobile")}[by]
    assert wishes == {names[0]: 14, names[1]: 13}


def test_daily_totals_give_bounds_and_refuse_the_rest(client: KeyedClient) -> None:
    day = {"date": "2026-10-01", "dimensions": {"source": "google"}}
    other = {"date": "2026-10-01", "dimensions": {"source": "mail"}}
    counts = [
        {**day, "name": "visit", "visitors": 100}, {**day, "name": "wish", "visitors": 80},
        {**day, "name": "purchase", "visitors": 40}, {**other, "name": "visit", "visitors": 100},
        {**other, "name": "purchase", "visitors": 10},
        {"date": "2026-10-01", "dimensions": {}, "name": "visit", "visitors": 200},
        {"date": "2026-10-01", "dimensions": {}, "name": "purchase", "visitors": 50},
    ]  # fmt: skip
    assert client.post("/v1/counts", json={"system": "swetrix", "counts": counts}).status_code == 200
    answer = client.get("/v1/signals?goal=purchase").json
    assert (answer["status"], answer["signals"], answer["totals"]["dimensions"]) == ("totals_only", [], ["source"])
    assert (answer["totals"]["visitor_days"], answer["totals"]["base_rate"]) == (200, 0.25)
    [wish] = answer["totals"]["signals"]
    assert wish["rate_with"] == [pytest.approx(20 / 80), pytest.approx(40 / 80)]
    assert wish["lift"] == [pytest.approx((20 / 80) / (30 / 120)), pytest.approx((40 / 80) / (10 / 120))]
    assert "who did both" in answer["totals"]["refused"]
