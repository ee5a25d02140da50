from __future__ import annotations

import pytest

from optimizer.storage.stores import Stores
from tests.conftest import KeyedClient


@pytest.mark.parametrize(
    ("path", "call", "stored"),
    [
        ("track", {"event": "Product Added", "userId": "u"}, ["add_to_cart"]),
        ("page", {"userId": "u", "name": "Home"}, ["page_view"]),
        ("screen", {"anonymousId": "a"}, ["screen_view"]),
        ("identify", {"userId": "u", "traits": {"email": "a@example.com"}}, ["identify"]),
        ("group", {"userId": "u", "groupId": "g"}, []),
        ("alias", {"userId": "u", "previousId": "a"}, []),
        ("batch", {"batch": [{"type": "track", "event": "x", "userId": "u"}]}, ["x"]),
        ("import", {"batch": [{"type": "track", "event": "x", "userId": "u"}]}, ["x"]),
    ],
)
def test_every_call_is_taken_with_the_write_key_in_the_body(
    path: str, call: dict[str, object], stored: list[str], *, client: KeyedClient, stores: Stores, project_id: int
) -> None:
    answer = client._client.post(f"/v1/{path}", json={**call, "writeKey": client.key})
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["success"], answer.json["rejected"]) == (True, [])
    rows = stores.events.events(project_id).to_pyarrow().to_pylist()
    assert [row["name"] for row in rows] == stored
    assert client._client.post(f"/v1/{path}", json=call).status_code == 401


def test_the_clients_clock_is_corrected_by_when_it_sent(client: KeyedClient, stores: Stores, project_id: int) -> None:
    call = {"type": "track", "event": "x", "userId": "u", "timestamp": "2026-11-01T09:00:00Z"}
    client.post("/v1/batch", json={"batch": [call], "sentAt": "2026-11-01T09:30:00Z"})  # our clock says 12:00
    [row] = stores.events.events(project_id).to_pyarrow().to_pylist()
    assert row["timestamp"].isoformat() == "2026-11-01T11:30:00"
