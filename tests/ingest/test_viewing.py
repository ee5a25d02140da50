"""`experiment_viewed` becomes an exposure in whatever format it comes."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.storage.stores import Stores
from tests.conftest import KeyedClient


def stored(stores: Stores, table: str = "exposures") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stores.events.table(table).to_pyarrow().to_pylist()
    return rows


def send(client: KeyedClient, path: str, body: object) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.json
    return answer.json


NATIVE = {"name": "Experiment Viewed", "event_id": "x1", "user_id": "u1", "session_id": "s1"}
CALL = {"type": "track", "event": "Experiment Viewed", "messageId": "x1", "userId": "u1"}
CAPTURED = {"distinct_id": "u1", "uuid": "x1"}
FLAG = {"$feature_flag": "pdp", "$feature_flag_response": "b"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/events", {"events": [{**NATIVE, "properties": {"experiment": "pdp", "variant": "b"}}]}),
        ("/v1/events", {"events": [{**NATIVE, "properties": {"experiment_id": "pdp", "variation_id": "b"}}]}),
        ("/v1/batch", {"batch": [{**CALL, "properties": {"experiment_id": "pdp", "variation_name": "b"}}]}),
        ("/batch/", {"batch": [{**CAPTURED, "event": "$feature_flag_called", "properties": FLAG}]}),
        ("/batch/", {"batch": [{**CAPTURED, "event": "experiment viewed",
                               "properties": {"experiment": "pdp", "variant": "b"}}]}),
    ],
)  # fmt: skip
def test_it_is_an_exposure_once(client: KeyedClient, stores: Stores, path: str, body: object) -> None:
    assert send(client, path, body)["accepted"] == 1
    assert send(client, path, body)["duplicates"] == 1
    [row] = stored(stores)
    assert (row["experiment"], row["variant"], row["unit_id"], row["exposure_id"]) == ("pdp", "b", "u:u1", "x1")
    assert stored(stores, "events") == []


def test_a_flag_that_names_no_variant_is_no_exposure(client: KeyedClient, stores: Stores) -> None:
    for response in (True, False, None, ""):
        called = {**CAPTURED, "event": "$feature_flag_called",
                  "properties": {**FLAG, "$feature_flag_response": response}}  # fmt: skip
        answer = send(client, "/batch/", {"batch": [called]})
        assert [warning["code"] for warning in answer["warnings"]] == ["not_kept"]
    assert stored(stores) == []


@pytest.mark.parametrize(
    "properties",
    [{}, {"experiment": "pdp"}, {"variant": "b"}, {"experiment": "x" * 101, "variant": "b"},
     {"experiment": {}, "variant": True}],
)  # fmt: skip
def test_without_experiment_or_variant_it_is_rejected(
    client: KeyedClient, stores: Stores, properties: dict[str, Any]
) -> None:
    good = {**NATIVE, "properties": {"experiment": "pdp", "variant": "b"}}
    answer = send(client, "/v1/events", {"events": [{**NATIVE, "properties": properties}, good]})
    assert [(verdict["index"], verdict["code"]) for verdict in answer["rejected"]] == [(0, "missing_variant")]
    assert len(stored(stores)) == 1


@pytest.mark.parametrize("besides", [{"consent": {"analytics": False}}, {"context": {"user_agent": "Googlebot/2.1"}}])
def test_without_consent_or_from_a_bot_it_stays_a_plain_event(
    client: KeyedClient, stores: Stores, besides: dict[str, Any]
) -> None:
    event = {**NATIVE, **besides, "properties": {"experiment": "pdp", "variant": "b"}}
    assert send(client, "/v1/events", {"events": [event]})["accepted"] == 1
    assert stored(stores) == []
    assert len(stored(stores, "events")) == 1


def test_whoever_is_nobody_was_not_exposed(client: KeyedClient) -> None:
    event = {"name": "experiment_viewed", "properties": {"experiment": "pdp", "variant": "b"}}
    answer = send(client, "/v1/events", {"events": [event]})
    assert [verdict["code"] for verdict in answer["rejected"]] == ["missing_unit"]
