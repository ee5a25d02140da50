"""What was told of people is held against what they brought, week by week, as the people they are now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import col, update

from optimizer.feedback import reconciliation
from optimizer.feedback.reconciliation import reconcile
from optimizer.feedback.values import current_values
from optimizer.storage.stores import Stores
from optimizer.storage.tables import DeliveryRecord
from tests.conftest import Clock, KeyedClient
from tests.fixtures.feedback import SendEvents, put_rule
from tests.fixtures.plans import Explain

Act = Callable[[str, float], None]
pytestmark = pytest.mark.usefixtures("history")  # carts bring 40 on average


def weeks(client: KeyedClient) -> list[dict[str, Any]]:
    answer = client.get("/v1/feedback/reconciliation")
    assert answer.status_code == 200, answer.json
    [found] = answer.json["data"]
    assert found["destination"] == "meta-main"
    rows: list[dict[str, Any]] = found["weeks"]
    return rows


@pytest.fixture
def cart_and_buy(connected: KeyedClient, send_events: SendEvents, stores: Stores, clock: Clock) -> Act:
    """Ten people cart and a platform takes it; on the next day eight of them buy."""

    def act(people: str, price: float) -> None:
        for number in range(10):
            send_events(user_id=f"{people}{number}")
        tell(connected, stores)
        clock.forward(days=1)
        for number in range(8):
            send_events(name="purchase", user_id=f"{people}{number}", value=price)

    return act


def tell(client: KeyedClient, stores: Stores) -> None:
    """Queue what is new and call it sent: the sandbox would find events of next week to be of the future."""
    assert client.post("/v1/feedback/sync?dry_run=true").status_code == 200
    with stores.control.session() as session:
        session.exec(update(DeliveryRecord).where(col(DeliveryRecord.status) == "pending").values(status="sent"))


def test_told_and_brought_are_of_the_same_people_and_windows(
    connected: KeyedClient, send_events: SendEvents, cart_and_buy: Act, clock: Clock
) -> None:
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "margin": 0.25, "window_days": 14})
    begun = clock.now
    cart_and_buy("a", 50.0)
    assert weeks(connected) == []  # no window has elapsed
    clock.forward(days=9)
    cart_and_buy("b", 10.0)
    clock.forward(days=20)
    send_events(name="purchase", user_id="a0", value=1_000.0)  # beyond the window
    first, second = weeks(connected)
    assert first["begins"] < begun.isoformat() < second["begins"]
    assert (first["people"], first["told"], first["brought"]) == (10, pytest.approx(100), 400.0)
    assert first["ratio"] == pytest.approx(0.25)
    assert (second["people"], second["told"], second["brought"]) == (10, pytest.approx(100, rel=0.1), 80.0)
    assert second["ratio"] > 1  # told too much: these people bought for a fifth


def test_a_visitor_who_became_a_user_brought_what_the_user_bought(
    connected: KeyedClient, send_events: SendEvents, stores: Stores, clock: Clock
) -> None:
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "window_days": 7})
    send_events(user_id=None, anonymous_id="x")
    tell(connected, stores)
    connected.post("/v1/batch", json={"batch": [{"type": "identify", "userId": "u", "anonymousId": "x"}]})
    clock.forward(days=1)
    send_events(name="purchase", user_id="u", value=30.0)
    clock.forward(days=20)
    [week] = weeks(connected)
    assert (week["people"], week["told"], week["brought"]) == (1, pytest.approx(40), 30.0)


def test_of_many_deliveries_the_newest_weeks_are_whole(
    connected: KeyedClient, cart_and_buy: Act, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rule(connected, "add_to_cart", "meta-main", value={"mode": "predicted", "window_days": 7})
    for people in "abc":
        cart_and_buy(people, 50.0)
        clock.forward(days=8)
    clock.forward(days=20)
    assert [week["people"] for week in weeks(connected)] == [10, 10, 10]
    [whole] = connected.get("/v1/feedback/reconciliation").json["data"]
    assert whole["note"] is None
    monkeypatch.setattr(reconciliation, "MOST_DELIVERIES", 15)
    assert [week["people"] for week in weeks(connected)] == [10]
    [cut] = connected.get("/v1/feedback/reconciliation").json["data"]
    assert cut["note"].startswith("Only the newest 15 deliveries are looked at: weeks that begin before 2026-")


def test_nothing_told_is_no_week_and_no_goal_no_destination(connected: KeyedClient) -> None:
    put_rule(connected, "wish", "meta-main")
    assert weeks(connected) == []
    connected.put("/v1/catalog/events/purchase", json={"kind": "secondary_action"})
    assert connected.get("/v1/feedback/reconciliation").json == {"goal": None, "currency": "EUR", "data": []}


def test_every_question_is_one_scan(
    connected: KeyedClient, cart_and_buy: Act, stores: Stores, clock: Clock, explain: Explain
) -> None:
    put_rule(connected, "add_to_cart", "meta-main")
    cart_and_buy("a", 50.0)
    values = current_values(stores, 1, now=clock.now)
    plans = explain(lambda: reconcile(stores, 1, values, now=clock.now))
    assert [plan.scans["events"] for plan in plans] == [1, 1]
    assert not [plan.pairwise for plan in plans if plan.pairwise]
