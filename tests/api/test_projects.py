from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from optimizer.storage.stores import Stores
from tests.conftest import Clock, KeyedClient


def test_a_second_project_is_made_with_its_own_admin_key(app: APIFlask, client: KeyedClient) -> None:
    made = client.post("/v1/projects", json={"key": "shop-2", "currency": "CHF", "time_zone": "Europe/Zurich"})
    assert made.status_code == 201
    second = KeyedClient(app.test_client(), made.json["admin_key"])
    assert second.get("/v1/project").json["currency"] == "CHF"
    assert second.post("/v1/projects", json={"key": "shop-3"}).status_code == 403
    assert client.post("/v1/projects", json={"key": "shop-2"}).status_code == 409


def test_wrong_fields_are_named_and_values_are_not_echoed(client: KeyedClient) -> None:
    answer = client.post("/v1/projects", json={"key": "Bad Key", "time_zone": "Mars/Base", "colour": "red"})
    assert answer.status_code == 422
    assert {e["pointer"] for e in answer.json["errors"]} == {"/key", "/time_zone", "/colour"}
    assert "Mars" not in answer.get_data(as_text=True)


def test_no_key_a_wrong_key_and_a_revoked_key_open_nothing(app: APIFlask, client: KeyedClient) -> None:
    assert app.test_client().get("/v1/project").status_code == 401
    assert KeyedClient(app.test_client(), "opt_wrong").get("/v1/project").status_code == 401
    made = client.post("/v1/keys", json={"scope": "read", "name": "reports"}).json
    reader = KeyedClient(app.test_client(), made["key"])
    assert reader.get("/v1/project").status_code == 200
    assert client.delete(f"/v1/keys/{made['prefix']}").status_code == 204
    assert reader.get("/v1/project").status_code == 401
    assert client.delete("/v1/keys/unknown").status_code == 404


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("ingest", {"POST /v1/events"}),
        ("read", {"GET /v1/catalog"}),
        ("segments", set()),
        ("manage", {"GET /v1/catalog", "PUT /v1/catalog/events/x"}),
        ("admin", {"POST /v1/events", "GET /v1/catalog", "PUT /v1/catalog/events/x", "GET /v1/keys"}),
    ],
)
def test_a_scope_opens_what_it_names_and_nothing_else(
    client_of: Callable[..., KeyedClient], scope: str, allowed: set[str]
) -> None:
    client = client_of(scope=scope)
    calls: dict[str, Any] = {
        "POST /v1/events": {"events": []},
        "GET /v1/catalog": None,
        "PUT /v1/catalog/events/x": {},
        "GET /v1/keys": None,
    }
    for call, body in calls.items():
        method, path = call.split()
        answer = client.open(path, method=method, json=body)
        assert answer.status_code == (200 if call in allowed else 403), call


def test_keys_are_stored_hashed_and_listed_by_prefix(client: KeyedClient, stores: Stores) -> None:
    made = client.post("/v1/keys", json={"scope": "ingest"}).json
    listed = client.get("/v1/keys").json["data"]
    assert made["prefix"] in [key["prefix"] for key in listed]
    assert all("key" not in key for key in listed)
    with stores.control.engine.connect() as connection:
        dump = "\n".join(connection.connection.iterdump())
    assert made["key"] not in dump
    assert client.key not in dump


def test_an_idempotency_key_replays_the_first_answer(client: KeyedClient, clock: Clock, stores: Stores) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/keys", json={"scope": "read"}, headers=headers)
    again = client.post("/v1/keys", json={"scope": "read"}, headers=headers)
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert client.post("/v1/keys", json={"scope": "admin"}, headers=headers).status_code == 409
    with stores.control.engine.connect() as connection:
        dump = "\n".join(connection.connection.iterdump())
    assert first.json["key"] not in dump
    clock.forward(hours=25)
    assert client.post("/v1/keys", json={"scope": "read"}, headers=headers).json != first.json


def test_a_refused_request_leaves_its_idempotency_key_free(client: KeyedClient) -> None:
    headers = {"Idempotency-Key": "later"}
    assert client.post("/v1/keys", json={"scope": "none"}, headers=headers).status_code == 422
    assert client.post("/v1/keys", json={"scope": "read"}, headers=headers).status_code == 201
