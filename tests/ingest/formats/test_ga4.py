from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optimizer.storage.stores import Stores
from tests.conftest import KeyedClient

GOOD: dict[str, Any] = {"client_id": "1.2", "events": [{"name": "login", "params": {"method": "mail"}}]}


def codes(client: KeyedClient, body: Any) -> list[tuple[str, str]]:
    answer = client.post("/debug/mp/collect", json=body)
    assert answer.status_code == 200
    return [(found["fieldPath"], found["validationCode"]) for found in answer.json["validationMessages"]]


def named(name: str, **params: Any) -> dict[str, Any]:
    return {"client_id": "1.2", "events": [{"name": name, "params": params}]}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (GOOD, []),
        ({"events": GOOD["events"]}, [("client_id", "VALUE_REQUIRED")]),
        ({"client_id": "1.2"}, [("events", "VALUE_REQUIRED")]),
        ([], [("", "VALUE_INVALID")]),
        (named("2nd"), [("events[0].name", "NAME_INVALID")]),
        (named("x" * 41), [("events[0].name", "NAME_INVALID")]),
        (named("session_start"), [("events[0].name", "NAME_RESERVED")]),
        (named("login", ga_id="x"), [("events[0].params.ga_id", "NAME_RESERVED")]),
        (named("login", **{"my id": 1}), [("events[0].params.my id", "NAME_INVALID")]),
        (named("login", text="x" * 101), [("events[0].params.text", "VALUE_OUT_OF_BOUNDS")]),
        (named("login", **{f"p{n}": n for n in range(26)}), [("events[0].params", "EXCEEDED_MAX_ENTITIES")]),
        ({**GOOD, "events": GOOD["events"] * 26}, [("events", "EXCEEDED_MAX_ENTITIES")]),
        (named("purchase", value=3), [("events[0].params.currency", "VALUE_REQUIRED")]),
        (named("purchase", value="much", currency="EUR"), [("events[0].params.value", "VALUE_INVALID")]),
        (named("login", A=1, a=2), [(f"events[0].params.{name}", "NAME_DUPLICATED") for name in "Aa"]),
    ],
)  # fmt: skip
def test_the_debug_route_speaks_googles_seven_codes(
    client: KeyedClient, body: Any, found: list[tuple[str, str]]
) -> None:
    assert codes(client, body) == found


def test_the_debug_route_stores_nothing(client: KeyedClient, stores: Stores, project_id: int) -> None:
    codes(client, GOOD)
    assert stores.events.events(project_id).count().to_pyarrow().as_py() == 0


def test_events_keep_their_client_consent_value_and_product(
    client: KeyedClient, stores: Stores, project_id: int, client_of: Callable[..., KeyedClient]
) -> None:
    key = client_of(scope="ingest").key
    body = {
        "client_id": "1.2",
        "user_id": "u1",
        "timestamp_micros": "1793440800000000",
        "consent": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
        "events": [
            {"name": "add_to_cart", "params": {"value": 9.5, "currency": "EUR", "items": [{"item_id": "sku-1"}]}},
            {"name": 7},
            {"name": "sign_up"},
        ],
    }
    answer = client._client.post(f"/mp/collect?measurement_id=G-1&api_secret={key}", json=body)
    assert (answer.status_code, answer.data) == (204, b"")
    rows = stores.events.events(project_id).order_by("name").to_pyarrow().to_pylist()
    assert [row["name"] for row in rows] == ["add_to_cart", "email_signup"]
    assert (rows[0]["unit_id"], rows[0]["anonymous_id"], rows[0]["value"]) == ("u:u1", "1.2", 9.5)
    assert (rows[0]["consent_ad_user_data"], rows[0]["consent_ad_personalization"]) == (True, False)
    assert rows[0]["timestamp"].isoformat() == "2026-10-31T10:00:00"
    assert '"item_id":"sku-1"' in rows[0]["properties"]


def test_a_wrong_secret_is_refused(client: KeyedClient) -> None:
    assert client._client.post("/mp/collect?api_secret=wrong", json=GOOD).status_code == 401
