from __future__ import annotations

import pytest

from tests.conftest import KeyedClient


def test_a_definition_is_stored_under_its_canonical_name(client: KeyedClient) -> None:
    body = {"kind": "process_milestone", "required_properties": {"item_id": "string"}, "owner": "growth"}
    made = client.put("/v1/catalog/events/Add To Cart", json=body)
    assert made.status_code == 200
    assert made.json["name"] == "add_to_cart"
    assert made.json["status"] == "active"
    assert client.get("/v1/catalog/events/ADD-TO-CART").json == made.json


def test_names_that_were_only_sent_are_proposed_with_their_spellings(client: KeyedClient) -> None:
    client.post(
        "/v1/events", json={"events": [{"name": n, "user_id": "u"} for n in ("Video Start", "video-start", "click")]}
    )
    [listed] = client.get("/v1/catalog").json["data"]
    assert (listed["name"], listed["status"]) == ("video_start", "proposed")
    assert listed["spellings"] == ["Video Start", "video-start"]


@pytest.mark.parametrize("name", ["click", "Action", "EVENT", "%21%21"])
def test_a_name_too_generic_to_learn_from_is_refused(client: KeyedClient, name: str) -> None:
    answer = client.put(f"/v1/catalog/events/{name}", json={})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/name"


def test_an_unknown_name_is_404_and_a_wrong_kind_is_named(client: KeyedClient) -> None:
    assert client.get("/v1/catalog/events/nothing").status_code == 404
    answer = client.put("/v1/catalog/events/x", json={"kind": "big", "required_properties": {"a": "text"}})
    assert [e["pointer"] for e in answer.json["errors"]] == ["/kind", "/required_properties/a"]
