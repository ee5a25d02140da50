"""Margin, cap and window: a platform hears a share of a value, never more than the cap, over one window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Clock, KeyedClient
from tests.fixtures.feedback import SendEvents, put_rule, rule

pytestmark = pytest.mark.usefixtures("history")
Told = Callable[[], dict[str, Any]]


@pytest.fixture
def told(connected: KeyedClient) -> Told:
    """Queue what is new; gives what Meta is told of each event."""

    def run() -> dict[str, Any]:
        assert connected.post("/v1/feedback/sync?dry_run=true").status_code == 200
        deliveries = connected.get("/v1/deliveries?limit=1000&destination=meta-main").json["data"]
        return {one["event_id"]: (one["value"], one["currency"]) for one in deliveries}

    return run


def table(client: KeyedClient, destination: str = "meta-main") -> dict[str, Any]:
    data = client.get("/v1/feedback/values").json["data"]
    return next(dict(one["table"]) for one in data if one["destination"] == destination)


def test_increments_are_taken_after_margin_and_cap(
    connected: KeyedClient, send_events: SendEvents, told: Told
) -> None:
    # Told of alone a wish is worth 10 and a cart 40; together 0 and 40.
    put_rule(connected, "wish", "meta-main", value={"mode": "predicted", "margin": 0.25})
    [wish] = send_events(name="wish", user_id="ann")
    assert told()[wish] == (pytest.approx(2.5), "EUR")
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "margin": 0.25, "maximum": 8.0})
    [cart], [again] = send_events(user_id="ann"), send_events(user_id="ann")
    [other] = send_events(user_id="bob")
    values = told()
    assert values[cart] == (pytest.approx(8 - 2.5), "EUR")  # .25 × 40 = 10, capped at 8, of which 2.5 was told
    assert values[again] == (0.0, "EUR")
    assert values[other] == (pytest.approx(8), "EUR")


def test_a_lower_cap_later_takes_nothing_back(connected: KeyedClient, send_events: SendEvents, told: Told) -> None:
    put_rule(connected, "add_to_cart", "meta-main")
    [before] = send_events(user_id="ann")
    assert told()[before] == (pytest.approx(40), "EUR")
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "maximum": 5})
    [after], [other] = send_events(user_id="ann"), send_events(user_id="bob")
    values = told()
    assert values[after] == (0.0, "EUR")
    assert values[other] == (5.0, "EUR")


def test_the_values_in_use_show_what_is_told_and_reconcile_it(connected: KeyedClient) -> None:
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "margin": 0.5, "maximum": 15})
    put_rule(connected, "wish", "google-main", value={"mode": "predicted", "margin": 0.5})
    put_rule(connected, "wish-too", "google-main", event="wish", value={"mode": "predicted"})
    capped, shared = table(connected), table(connected, "google-main")
    [cart] = capped["events"]
    assert (cart["value"], cart["margin"], cart["maximum"], cart["told"]) == (pytest.approx(40), 0.5, 15.0, 15.0)
    assert [week["told"] for week in capped["weeks"]] == [
        pytest.approx(15 * week["people"]) for week in capped["weeks"]
    ]
    [wish] = shared["events"]
    assert (wish["margin"], wish["told"]) == (0.5, pytest.approx(0.5 * wish["value"]))  # the first rule by key
    assert sum(week["told"] for week in shared["weeks"]) == pytest.approx(
        0.5 * sum(week["actual"] for week in shared["weeks"])
    )
    asked = connected.get("/v1/signals/values?goal=purchase&events=add_to_cart").json
    assert (asked["events"][0]["told"], asked["window_days"]) == (15.0, 30)
    free = connected.get("/v1/signals/values?goal=purchase&events=visit_store,add_to_cart&window_days=10").json
    assert (free["events"][1]["told"], free["window_days"]) == (None, 10)  # nobody did it


def test_a_dry_run_says_what_a_value_is_made_of(connected: KeyedClient, send_events: SendEvents) -> None:
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "margin": 0.25, "maximum": 8})
    send_events(user_id="ann")
    [found] = connected.post("/v1/feedback/sync?dry_run=true").json["preview"][1]["examples"]
    assert (found["value"], found["currency"]) == (8.0, "EUR")
    assert found["value_of"] == ("predicted × margin 0.25, at most 8, less what was told of the person before")
    assert found["request"]["custom_data"]["value"] == 8.0


def test_the_window_is_the_rules_and_the_longest_of_a_destination(
    connected: KeyedClient, send_events: SendEvents, clock: Clock, told: Told
) -> None:
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "window_days": 7})
    assert table(connected)["window_days"] == 7
    assert connected.get("/v1/signals/values?goal=purchase").json["window_days"] == 7
    [first] = send_events(user_id="ann")
    assert told()[first][0] == pytest.approx(40)
    clock.forward(days=8)
    [next_journey] = send_events(user_id="ann")
    assert told()[next_journey][0] == pytest.approx(40, rel=0.05)
    put_rule(connected, "wish", "meta-main", value={"mode": "predicted", "window_days": 14})
    assert table(connected)["window_days"] == 14
    clock.forward(days=8)
    [within] = send_events(user_id="ann")
    assert told()[within][0] == 0.0


def test_a_property_has_margin_and_cap_in_the_projects_currency(
    connected: KeyedClient, send_events: SendEvents, told: Told
) -> None:
    value = {"mode": "property", "margin": 0.3, "maximum": 10}
    assert connected.put("/v1/signal-rules/carts", json=rule(value=value)).json["value"] == {
        "mode": "property", "amount": None, "margin": 0.3, "maximum": 10.0, "window_days": 30,
    }  # fmt: skip
    [small], [large], [foreign], [none] = (
        send_events(value=20.0), send_events(value=99.0), send_events(currency="USD"), send_events(value=None)
    )  # fmt: skip
    values = told()
    assert (values[small], values[large]) == ((6.0, "EUR"), (10.0, "EUR"))
    assert values[foreign] == values[none] == (None, None)
    connected.put("/v1/signal-rules/carts", json=rule(value={"mode": "property", "margin": 0.5}))
    [foreign] = send_events(currency="USD")
    assert told()[foreign] == (10.0, "USD")


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"mode": "predicted", "margin": 0}, "/value/margin"),
        ({"mode": "predicted", "margin": 1.5}, "/value/margin"),
        ({"mode": "predicted", "maximum": 0}, "/value/maximum"),
        ({"mode": "predicted", "maximum": "NaN"}, "/value/maximum"),
        ({"mode": "predicted", "window_days": 0}, "/value/window_days"),
        ({"mode": "predicted", "window_days": 91}, "/value/window_days"),
        ({"mode": "property", "window_days": 7}, "/value/window_days"),
        ({"mode": "none", "margin": 0.5}, "/value/margin"),
        ({"mode": "fixed", "amount": 4, "maximum": 8}, "/value/maximum"),
    ],
)
def test_terms_that_cannot_hold_are_named(value: dict[str, Any], pointer: str, connected: KeyedClient) -> None:
    answer = connected.put("/v1/signal-rules/carts", json=rule(value=value))
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_what_is_read_can_be_written_back(connected: KeyedClient) -> None:
    for value in ({"mode": "none"}, {"mode": "fixed", "amount": 2}, {"mode": "predicted", "margin": 0.5}):
        shown = connected.put("/v1/signal-rules/carts", json=rule(value=value)).json["value"]
        assert connected.put("/v1/signal-rules/carts", json=rule(value=shown)).json["value"] == shown
