"""Counters per event name: what was missing, of the wrong type, spelled differently, unknown, or rejected."""

from __future__ import annotations

from typing import Any

from tests.conftest import Clock, KeyedClient

REQUIRED = {"kind": "process_milestone", "required_properties": {"item_id": "string"}}


def send(client: KeyedClient, *events: Any) -> None:
    assert client.post("/v1/events", json={"events": list(events)}).status_code == 200


def found(client: KeyedClient, query: str = "") -> dict[str, dict[str, Any]]:
    answer = client.get(f"/v1/catalog/quality{query}")
    assert answer.status_code == 200
    return {row.pop("name"): row for row in answer.json["data"]}


def test_every_kind_of_fault_is_counted_under_its_name(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/add_to_cart", json=REQUIRED)
    send(client,
         {"name": "add_to_cart", "properties": {"item_id": "a"}},
         {"name": "Add To Cart", "properties": {"item_id": "a"}},
         {"name": "add_to_cart"},
         {"name": "add_to_cart", "properties": {"item_id": 1}, "colour": "red"},
         {"name": "add_to_cart", "timestamp": "2099-01-01T00:00:00Z"},
         {"name": "wish"},
         {"nam": "wish"})  # fmt: skip
    by_name = found(client)
    assert by_name["add_to_cart"] == {
        "catalogued": True,
        "events": 4,
        "spellings": ["Add To Cart"],
        "counters": {"missing_property": 1, "wrong_property_type": 1, "merged_spelling": 1, "unknown_field": 1},
        "rejected": {"future_timestamp": 1},
    }
    assert by_name["wish"] == {"catalogued": False, "events": 1, "spellings": [], "counters": {}, "rejected": {}}
    assert by_name["(unreadable)"]["rejected"] == {"missing_name": 1}


def test_names_that_a_strict_catalog_rejects_are_counted(client: KeyedClient) -> None:
    client.patch("/v1/project", json={"strict_catalog": True})
    for _ in range(3):
        send(client, {"name": "Nobody knows"})
    assert found(client)["nobody_knows"]["rejected"] == {"unknown_name": 3}


def test_only_the_asked_days_count_and_names_without_faults_stay(client: KeyedClient, clock: Clock) -> None:
    send(client, {"name": "wish", "timestamp": "2099-01-01T00:00:00Z"}, {"name": "Wish"})
    clock.forward(days=10)
    assert found(client)["wish"] == {
        "catalogued": False, "events": 0, "spellings": ["Wish"], "counters": {}, "rejected": {}
    }  # fmt: skip
    assert found(client, "?days=11")["wish"]["rejected"] == {"future_timestamp": 1}
    assert client.get("/v1/catalog/quality?days=0").status_code == 422


def test_stored_events_carry_their_verdicts(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/add_to_cart", json=REQUIRED)
    send(client, {"name": "Add to cart", "user_id": "u1", "context": {"user_agent": "Googlebot/2.1"}})
    send(client, {"name": "add_to_cart", "anonymous_id": "x", "properties": {"item_id": "a"}})
    [seen] = client.get("/v1/events").json["data"]
    assert (seen["verdict"], seen["warnings"], seen["unit"]) == ("accepted", [], "a:x")
    [bot] = client.get("/v1/events?bots=true").json["data"]
    assert bot["verdict"] == "set_aside"
    assert bot["warnings"] == ["missing_property", "bot", "merged_spelling"]
