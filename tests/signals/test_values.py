"""Values learned from journeys in the store: sums, gates, proofs, and data that allows none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.cli._shops import stored_shop
from optimizer.core.terms import Terms
from optimizer.core.value import Cell
from optimizer.sandbox.shop import FIRST_MONDAY, ShopDesign, simulate_shop
from optimizer.signals.asked import Asked
from optimizer.signals.journeys import OTHER, read_journeys
from optimizer.signals.values import value_table
from optimizer.storage.stores import Stores
from tests.conftest import NOON, KeyedClient

Rows = list[dict[str, Any]]
Add = Callable[[Rows], None]
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def person(
    name: str, begun: dt.datetime, *did: tuple[str, float, float | None], source: str = "x"
) -> list[dict[str, Any]]:
    """Events of one person: (name, hours after the beginning, value)."""
    return [
        {"name": event, "user_id": name, "timestamp": begun + HOUR * hours, "source": source, "value": value}
        for event, hours, value in did
    ]


def shop(people: int, weeks: int, *, scale_of: Callable[[int, str], float] = lambda *_: 1.0) -> Rows:
    """People over weeks that ended 14 days ago: 40% of those who cart check out, half of those buy for 20 to 80."""
    rng = np.random.default_rng(6)
    rows = []
    for number in range(people):
        week = number % weeks
        begun = NOON - 14 * DAY - DAY * 7 * week - HOUR * float(rng.uniform(1, 160))
        source = ("paid", "free")[number // weeks % 2]
        did: list[tuple[str, float, float | None]] = [("cart", 0, None)]
        if rng.random() < 0.4:
            did.append(("checkout", 1, None))
            if rng.random() < 0.5:
                did.append(("purchase", 2, float(rng.uniform(20, 80)) * scale_of(week, source)))
        rows += person(f"u{number}", begun, *did, source=source)
    return rows


def asked(events: list[str], window_days: int, **terms: Terms) -> Asked:
    return Asked({event: terms.get(event, Terms()) for event in events}, window_days)


def test_a_journey_ends_with_the_goal_or_the_window(stores: Stores, project_id: int, add_events: Add) -> None:
    begun = NOON - 20 * DAY
    add_events(
        person("a", begun, ("cart", 0, None), ("purchase", 5, 30.0), ("purchase", 50, 10.0), ("checkout", 6, None))
        + person("b", begun, ("view", 0, None), ("checkout", 3, None), ("cart", 3, None), source="y")
        + person("c", begun, ("cart", 0, None), ("checkout", 24 * 7 + 1, None), ("purchase", 24 * 7 + 2, 99.0))
        + person("d", NOON - 6 * DAY, ("cart", 0, None), ("purchase", 1, 5.0))  # its window has not elapsed
        + person("e", begun, ("purchase", 0, 5.0))  # did nothing that is reported
    )
    found = read_journeys(stores.events, project_id, "purchase", ["cart", "checkout"], 7 * DAY, now=NOON)
    week = (begun - found.start) // (7 * DAY)
    assert sorted(found.cells, key=lambda cell: (cell.source, len(cell.done))) == [
        Cell(week, "x", frozenset({0}), 2, 40.0, 1600.0),
        Cell(week, "y", frozenset({0, 1}), 1, 0.0, 0.0),
    ]


def test_rare_sources_are_told_together(stores: Stores, project_id: int, add_events: Add) -> None:
    rows = [
        row
        for place in range(10)
        for number in range(2 if place == 9 else 3)
        for row in person(f"{place}-{number}", NOON - 20 * DAY, ("cart", 0, None), source=f"s{place}")
    ]
    add_events(rows)
    found = read_journeys(stores.events, project_id, "purchase", ["cart"], 7 * DAY, now=NOON)
    assert {cell.source for cell in found.cells} == {f"s{place}" for place in range(8)} | {OTHER}


def test_what_is_told_sums_up_to_what_was_bought_and_holds_later(
    stores: Stores, project_id: int, add_events: Add
) -> None:
    rows = shop(2_000, 8)
    add_events(rows)
    table = value_table(stores, project_id, "purchase", asked(["checkout", "cart", "purchase"], 7), now=NOON)
    assert (table.status, table.label) == ("ok", "predicted, not incremental")
    assert [one.event for one in table.events] == ["cart", "checkout"]  # the goal has a value of its own
    assert table.value("cart", "paid") == 0.0  # every buyer checks out, and the checkout is told of too
    assert table.value("checkout", "unheard of") == pytest.approx(25, abs=3)
    bought = sum(row["value"] or 0.0 for row in rows)
    assert sum(week.actual for week in table.weeks) == pytest.approx(bought)
    assert sum(week.predicted for week in table.weeks) == pytest.approx(bought)
    held_out = table.held_out
    assert held_out is not None
    assert held_out.slope is not None
    assert held_out.slope_interval is not None
    assert held_out.slope_interval[0] < 1 < held_out.slope_interval[1]
    assert {one.source for one in table.sources} == {"paid", "free"}
    alone = value_table(stores, project_id, "purchase", asked(["cart"], 7), now=NOON)
    assert alone.value("cart", None) == pytest.approx(bought / 2_000)  # told of alone it carries everything


def test_margin_and_cap_lower_what_is_told_and_leave_the_proof_alone(
    stores: Stores, project_id: int, add_events: Add
) -> None:
    add_events(shop(2_000, 8))
    whole = value_table(stores, project_id, "purchase", asked(["checkout", "cart"], 7), now=NOON)
    terms = {"cart": Terms(0.4), "checkout": Terms(0.4, maximum=6.0)}
    part = value_table(stores, project_id, "purchase", asked(["checkout", "cart"], 7, **terms), now=NOON)
    assert part.status == whole.status
    for name in ("ratio", "slope", "predicted", "actual"):
        assert getattr(part.held_out, name) == pytest.approx(getattr(whole.held_out, name))
    for one, other in zip(part.events, whole.events, strict=True):
        assert one.value == pytest.approx(other.value) == other.told
    assert [one.told for one in part.events] == [0.0, 6.0]  # .4 of about 25 is capped
    assert part.told("checkout", "paid") == 6.0
    assert part.told("cart", None) == 0.0
    for week, same in zip(part.weeks, whole.weeks, strict=True):
        assert (week.predicted, week.actual) == pytest.approx((same.predicted, same.actual))
        assert same.told == pytest.approx(same.predicted)
        assert week.told is not None
        assert week.told < 0.4 * week.predicted
    assert part.asked != whole.asked


def test_values_that_no_longer_hold_are_not_told(stores: Stores, project_id: int, add_events: Add) -> None:
    add_events(shop(2_000, 8, scale_of=lambda week, _: 0.3 if week < 3 else 1.0))  # prices fell three weeks ago
    table = value_table(stores, project_id, "purchase", asked(["cart", "checkout"], 7), now=NOON)
    assert table.status == "off"
    assert "No value is sent" in table.reason
    assert table.value("checkout", "paid") is None


def test_a_source_that_no_longer_holds_is_told_nothing_of_while_the_others_are(
    stores: Stores, project_id: int, add_events: Add
) -> None:
    # Since ads learn from carts they bring people who cart and hardly buy; everybody else is as before.
    add_events(shop(2_400, 8, scale_of=lambda week, source: 0.3 if week < 3 and source == "paid" else 1.0))
    rows = shop(6_000, 8)
    add_events([{**row, "user_id": f"more-{row['user_id']}", "source": "free"} for row in rows])
    table = value_table(stores, project_id, "purchase", asked(["cart", "checkout"], 7), now=NOON)
    assert {one.source: one.withheld for one in table.sources} == {"paid": True, "free": False}
    assert table.status == "ok", table.reason
    assert table.value("checkout", "paid") is None
    assert table.told("checkout", "paid") is None
    assert table.value("checkout", "free") == pytest.approx(25, abs=3)
    assert all(0 < (week.told or 0.0) < 0.95 * week.predicted for week in table.weeks)  # nothing of `paid`


def test_an_event_that_brought_nothing_surely_does_not_pass_the_gate(
    stores: Stores, project_id: int, add_events: Add
) -> None:
    idle = [row for n in range(300) for row in person(f"i{n}", NOON - 20 * DAY, ("theme", 0, None))]
    few = [
        row for n in range(10) for row in person(f"f{n}", NOON - 20 * DAY, ("chat", 0, None), ("purchase", 1, 50.0))
    ]
    add_events(shop(800, 8) + idle + few)
    table = value_table(stores, project_id, "purchase", asked(["cart", "theme", "chat"], 7), now=NOON)
    reasons = {one.event: one.reason for one in table.events if one.value is None}
    assert reasons.keys() == {"theme", "chat"}
    assert "cannot be told from nothing" in reasons["theme"]
    assert "10 people" in reasons["chat"]
    assert table.value("theme", "x") is None


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([], "too_few"),
        (person("a", NOON - 20 * DAY, ("cart", 0, None), ("purchase", 1, 5.0)), "too_few"),
        ([row for n in range(99) for row in person(f"{n}", NOON - 20 * DAY, ("cart", 0, None))], "no_values"),
        ([row for n in range(99) for row in person(f"{n}", NOON - 20 * DAY, ("cart", 0, None), ("purchase", 1, 5.0))],
         "unchecked"),
    ],
    ids=["nobody", "one unit", "no values", "constant values"],
)  # fmt: skip
def test_what_cannot_be_said_is_a_status(
    rows: Rows, status: str, stores: Stores, project_id: int, add_events: Add
) -> None:
    if rows:
        add_events(rows)
    table = value_table(stores, project_id, "purchase", asked(["cart"], 7), now=NOON)
    assert table.status == status, table.reason
    assert table.value("cart", None) == (5.0 if status == "unchecked" else None)
    assert "nan" not in table.model_dump_json().lower()


def test_the_table_is_asked_for_by_http(client: KeyedClient, add_events: Add) -> None:
    add_events(shop(900, 8))
    answer = client.get("/v1/signals/values?goal=Purchase&events=cart,Check-Out,checkout&window_days=7")
    assert answer.status_code == 200
    assert answer.json["label"] == "predicted, not incremental"
    assert [one["event"] for one in answer.json["events"] if one["value"] is not None] == ["cart", "checkout"]
    drawn = client.get("/v1/signals/values?goal=purchase&events=cart,checkout&window_days=7&format=svg")
    assert drawn.data.startswith(b"<svg")
    assert b">told<" not in drawn.data  # all that is predicted is told
    body = {"platform": "meta", "account": {"dataset_id": "1"}, "credentials": {"access_token": "t"}}
    client.put("/v1/destinations/m", json=body)
    client.put("/v1/signal-rules/checkout", json={
        "event": "checkout", "destinations": ["m"], "value": {"mode": "predicted", "margin": 0.5},
    })  # fmt: skip
    drawn = client.get("/v1/signals/values?goal=purchase&events=cart,checkout&window_days=7&format=svg")
    assert b">told<" in drawn.data


def test_values_hold_on_the_later_weeks_of_simulated_shops(stores: Stores, project_id: int) -> None:
    names = ["add_to_cart", "review_read", "demo_video"]
    slopes: list[float] = []
    ratios: list[float] = []
    for seed in range(6):
        shop = simulate_shop(ShopDesign(visitors=8_000, days=84), seed)
        visited = stored_shop(shop)
        now = FIRST_MONDAY + 98 * DAY
        table = value_table(replace(stores, events=visited), project_id, shop.goal, asked(names, 14), now=now)
        visited.close()
        assert table.status == "ok", table.reason
        assert table.held_out is not None
        slopes.append(table.held_out.slope or 0.0)
        ratios.append(table.held_out.ratio or 0.0)
    assert np.mean(slopes) == pytest.approx(1, abs=0.1)
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_a_goal_that_nobody_reached_yet_is_a_status(client: KeyedClient, add_events: Add) -> None:
    client.put("/v1/catalog/events/launch", json={"kind": "macro"})
    assert client.get("/v1/signals/values?events=cart").json["status"] == "too_few"
    add_events(shop(300, 8))
    found = client.get("/v1/signals/values?events=cart&window_days=7").json
    assert (found["goal"], found["status"], found["events"][0]["value"]) == ("launch", "no_values", None)


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("", 422, "/query/goal"),
        ("goal=purchase", 422, "/query/events"),
        ("goal=purchase&events=,", 422, "/query/events"),
        ("goal=purchase&events=purchase", 422, "/query/events"),
        ("goal=purchase&events=" + ",".join("abcdefghijk"), 422, "/query/events"),
        ("goal=purchase&events=a&window_days=0", 422, "/query/window_days"),
        ("goal=purchase&events=a&window_days=91", 422, "/query/window_days"),
        ("goal=nothing&events=a", 404, None),
    ],
)
def test_a_wrong_question_is_named(query: str, status: int, pointer: str | None, client: KeyedClient) -> None:
    answer = client.get(f"/v1/signals/values?{query}")
    assert answer.status_code == status
    if pointer:
        assert answer.json["errors"][0]["pointer"] == pointer
