"""Past experiments: imported by key, judged item by item, listed, taken out; on both control planes."""

from __future__ import annotations

import copy
from typing import Any

from tests.conftest import KeyedClient

PATH = "/v1/experiments/history"
PAST: dict[str, Any] = {
    "key": "spring-cta",
    "name": "Larger button",
    "change": "layout",
    "started_at": "2026-03-01T00:00:00Z",
    "stopped_at": "2026-03-21T00:00:00Z",
    "stopping": {"metric": "add_to_cart", "method": "sequential", "alpha": 0.05, "planned_visitors": 2500},
    "metrics": ["add_to_cart", "purchase"],
    "variants": [
        {"key": "control", "n": 1000, "sums": [300, 20], "cross_products": [[300, 18], [18, 20]]},
        {"key": "treatment", "n": 1000, "sums": [340, 26], "cross_products": [[340, 24], [24, 26]]},
    ],
}


def changed(at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = copy.deepcopy(PAST)
    place: Any = body
    for part in at[:-1]:
        place = place[part]
    place[at[-1]] = value
    return body


def send(client: KeyedClient, *items: Any) -> dict[str, Any]:
    answer = client.post(PATH, json={"experiments": list(items)})
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def test_importing_is_idempotent_by_key_and_shows_what_was_sent(shop: KeyedClient) -> None:
    assert send(shop, PAST) == {"accepted": 1, "replaced": 0, "unchanged": 0, "rejected": []}
    assert send(shop, PAST)["unchanged"] == 1
    assert send(shop, changed(("name",), "Larger, greener"), changed(("key",), "autumn"))["replaced"] == 1
    page = shop.get(f"{PATH}?limit=1").json
    [first] = page["data"]
    assert first["name"] == "Larger, greener"
    assert first["variants"] == PAST["variants"]
    assert (first["source"], first["left_out"]) == ("import", "")
    assert first["stopping"]["stopped_early"] is True  # 2 000 of 2 500
    [second] = shop.get(f"{PATH}?cursor={page['next_cursor']}").json["data"]
    assert second["key"] == "autumn"
    again = {name: value for name, value in first.items() if name not in {"source", "left_out", "entered_at"}}
    assert send(shop, again)["unchanged"] == 1  # what is listed can be imported elsewhere as it is


def test_deleting_takes_it_out_and_it_can_come_again(shop: KeyedClient) -> None:
    send(shop, PAST)
    assert shop.delete(f"{PATH}/spring-cta").status_code == 204
    assert shop.delete(f"{PATH}/spring-cta").status_code == 404
    assert shop.get(PATH).json["data"] == []
    assert send(shop, PAST)["accepted"] == 1


def test_each_item_is_judged_by_itself_and_the_field_is_named(shop: KeyedClient) -> None:
    wrong = [
        (("key",), "a b", "/key"),
        (("metrics",), ["add_to_cart"], "/variants/0/sums"),
        (("metrics",), ["purchase", "purchase"], "/metrics"),
        (("stopped_at",), "2026-02-01T00:00:00Z", ""),
        (("variants", 1, "key"), "control", "/variants"),
        (("variants", 1, "n"), 1, "/variants/1/n"),
        (("variants", 1, "cross_products"), [[340, 24]], "/variants/1/cross_products"),
        (("variants", 1, "cross_products"), [[340, 24], [23, 26]], "/variants/1/cross_products"),
        (("variants", 1, "cross_products"), [[340, 120], [120, 26]], "/variants/1/cross_products"),
        (("variants", 0, "sums"), [3000, 20], "/variants/0/cross_products"),
        (("variants", 0, "cross_products", 0, 0), 1e-200, "/variants/0/cross_products"),
        (("stopping", "method"), "guess", "/stopping/method"),
        (("stoping",), {}, "/stoping"),
    ]
    verdict = send(shop, PAST, *(changed(at, value) for at, value, _ in wrong), PAST, 3)
    assert verdict["accepted"] == 1
    pointers = [(one["index"], one["pointer"]) for one in verdict["rejected"]]
    expected = [(place + 1, f"/experiments/{place + 1}{pointer}") for place, (_, _, pointer) in enumerate(wrong)]
    assert pointers == [*expected, (14, "/experiments/14/key"), (15, "/experiments/15")]
    assert all(one["detail"] for one in verdict["rejected"])


def test_a_key_of_an_experiment_of_this_service_is_its_own(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/add_to_cart", json={})
    design = {"variants": [{"key": "a"}, {"key": "b"}], "primary_metric": "add_to_cart"}
    assert client.post("/v1/experiments", json={**design, "key": "history"}).status_code == 422
    client.post("/v1/experiments", json={**design, "key": "spring-cta"})
    [rejected] = send(client, PAST)["rejected"]
    assert rejected["code"] == "own_experiment"


def test_projects_do_not_see_each_others_history(client_of: Any) -> None:
    first, second = client_of(), client_of("other")
    send(first, PAST)
    assert second.get(PATH).json["data"] == []
    assert second.delete(f"{PATH}/spring-cta").status_code == 404
