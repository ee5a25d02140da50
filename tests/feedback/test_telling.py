"""One value a person and destination, told in increments that sum up to what people who went as far brought."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from optimizer.feedback.outbox import enqueue
from optimizer.feedback.values import current_values
from optimizer.signals.reports import list_reports
from optimizer.storage.stores import Stores
from optimizer.storage.tables.base import utc_now
from tests.conftest import Clock, KeyedClient
from tests.fixtures.feedback import SendEvents, put_rule
from tests.fixtures.plans import Explain

HOUR = dt.timedelta(hours=1)
Told = dict[str, list[tuple[str, str, Any]]]
Tell = Callable[[], Told]


@pytest.fixture
def tell(connected: KeyedClient) -> Tell:
    """Queue what is new; gives (person, event, value) per destination."""

    def run() -> Told:
        preview = connected.post("/v1/feedback/sync?dry_run=true")
        assert preview.status_code == 200, preview.json
        found: Told = {}
        for one in connected.get("/v1/deliveries?limit=1000").json["data"]:
            found.setdefault(one["destination"], []).append((one["event_id"], one["event_name"], one["value"]))
        return found

    return run


def told_values(told: Told) -> dict[str, Any]:
    """Give what was told of each event at the one destination."""
    return {event_id: value for event_id, _, value in told["meta-main"]}


@pytest.mark.usefixtures("history")
def test_whoever_goes_on_is_told_the_difference_and_repeats_and_buyers_0(
    connected: KeyedClient, send_events: SendEvents, clock: Clock, tell: Tell
) -> None:
    put_rule(connected, "wish", "meta-main")
    put_rule(connected, "add_to_cart", "meta-main")
    ids = {
        "wish": send_events(name="wish", user_id="ann")[0],
        "wish again": send_events(name="wish", user_id="ann")[0],
        "cart": send_events(user_id="ann")[0],
        "other cart": send_events(user_id="bob")[0],
        "bought": send_events(name="purchase", user_id="eve", timestamp=(clock.now - HOUR).isoformat())[0],
        "after": send_events(user_id="eve")[0],
    }
    values = told_values(tell())
    assert values[ids["wish"]] == 0.0  # every buyer adds to the cart, and carts are told of too
    assert values[ids["wish again"]] == 0.0
    assert values[ids["cart"]] == pytest.approx(40)
    assert values[ids["other cart"]] == pytest.approx(40)
    assert values[ids["after"]] == 0.0
    clock.forward(minutes=1)
    [later] = send_events(user_id="ann")
    assert told_values(tell())[later] == 0.0
    clock.forward(days=40)  # another journey
    [next_journey] = send_events(user_id="ann")
    assert told_values(tell())[next_journey] == pytest.approx(40, rel=0.05)


@pytest.mark.usefixtures("history")
def test_each_destination_hears_values_of_what_it_is_told_of(
    connected: KeyedClient, send_events: SendEvents, tell: Tell
) -> None:
    put_rule(connected, "wish", "meta-main", "google-main")
    put_rule(connected, "add_to_cart", "google-main")
    [wish], [cart] = send_events(name="wish", user_id="ann"), send_events(user_id="ann")
    told = tell()
    assert told["meta-main"] == [(wish, "wish", pytest.approx(10))]  # told of alone it carries all that wishers bring
    assert sorted(told["google-main"]) == sorted([(wish, "wish", 0.0), (cart, "add_to_cart", pytest.approx(40))])
    shown = connected.get("/v1/feedback/values").json
    assert (shown["goal"], [one["destination"] for one in shown["data"]]) == (
        "purchase",
        ["google-main", "meta-main"],
    )
    assert {one["table"]["label"] for one in shown["data"]} == {"predicted, not incremental"}


@pytest.mark.usefixtures("history")
def test_a_visitor_who_becomes_a_user_is_told_of_once(
    connected: KeyedClient, send_events: SendEvents, clock: Clock, tell: Tell
) -> None:
    put_rule(connected, "wish", "meta-main")
    [first] = send_events(name="wish", user_id=None, anonymous_id="a1")
    assert tell()["meta-main"] == [(first, "wish", pytest.approx(10))]
    clock.forward(minutes=1)
    [second] = send_events(name="wish", user_id="ann", anonymous_id="a1")
    assert told_values(tell())[second] == 0.0


@pytest.mark.usefixtures("history")
def test_a_table_is_kept_for_a_week_and_learned_anew_for_other_events(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_rule(connected, "wish", "meta-main")
    first = current_values(stores, project_id, now=clock.now).tables["meta-main"]
    again = current_values(stores, project_id, now=clock.forward(days=6)).tables["meta-main"]
    assert again == first
    put_rule(connected, "add_to_cart", "meta-main")
    both = current_values(stores, project_id, now=clock.now).tables["meta-main"]
    assert both.reported == ["add_to_cart", "wish"]
    anew = current_values(stores, project_id, now=clock.forward(days=7)).tables["meta-main"]
    assert anew.computed_at == clock.now


@pytest.mark.usefixtures("history")
def test_a_table_that_another_version_wrote_is_learned_anew(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_rule(connected, "wish", "meta-main")
    first = current_values(stores, project_id, now=clock.now).tables["meta-main"]
    with stores.control.session() as session:
        [row] = list_reports(session, project_id, "value_table")
        row.document = {"goal": "purchase"}
    assert current_values(stores, project_id, now=clock.now).tables["meta-main"] == first


def test_without_a_goal_or_a_proof_no_value_is_told(
    connected: KeyedClient, send_events: SendEvents, tell: Tell
) -> None:
    put_rule(connected, "wish", "meta-main")
    [first] = send_events(name="wish", user_id="ann")
    assert connected.get("/v1/feedback/values").json == {"goal": None, "currency": "EUR", "data": []}
    assert tell()["meta-main"] == [(first, "wish", None)]
    connected.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    [second] = send_events(name="wish", user_id="ann")
    assert told_values(tell())[second] is None
    assert connected.get("/v1/feedback/values").json["data"][0]["table"]["status"] == "too_few"


@pytest.mark.usefixtures("history")
def test_what_was_told_is_looked_up_by_destination_and_event_and_people_by_one_scan(
    connected: KeyedClient, send_events: SendEvents, stores: Stores, project_id: int, explain: Explain
) -> None:
    put_rule(connected, "add_to_cart", "meta-main")
    send_events(5)
    values = current_values(stores, project_id, now=utc_now())
    enqueue(stores, project_id, values, now=utc_now())
    send_events(5)
    asked: list[tuple[str, Any]] = []
    event.listen(stores.control.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    plans = explain(lambda: enqueue(stores, project_id, values, now=utc_now()))
    near = [plan for plan in plans if {"event_id", "timestamp"} <= plan.columns]
    assert [plan.scans["events"] for plan in plans] == [1] * len(plans)
    assert not [plan.pairwise for plan in plans if plan.pairwise]
    assert near
    told = [(text, given) for text, given in asked if "FROM delivery" in text and "event_id IN" in text]
    assert told
    with stores.control.engine.connect() as connection:
        for text, given in told:
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given).fetchall()
            assert [step[-1] for step in steps] == [
                "SEARCH delivery USING INDEX sqlite_autoindex_delivery_2 (destination_id=? AND event_id=?)"
            ]
