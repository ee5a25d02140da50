from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from optimizer.storage.engines.duckdb import DuckDBEventStore
from optimizer.storage.stores import Stores
from tests.conftest import KeyedClient

BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def send(client: KeyedClient, *events: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = client.post("/v1/events", json={"events": list(events)}).json
    return body


def names(client: KeyedClient, **query: Any) -> list[str]:
    return [row["name"] for row in client.get("/v1/events", query_string=query).json["data"]]


def test_recent_events_come_newest_first_filtered_and_in_pages(client: KeyedClient) -> None:
    send(client, *({"name": f"n{number}", "user_id": "u1"} for number in range(3)))
    send(client, {"name": "Wish", "anonymous_id": "a1"})
    assert names(client) == ["wish", "n2", "n1", "n0"]
    assert names(client, name="WISH") == ["wish"]
    assert names(client, unit="u1") == ["n2", "n1", "n0"]
    assert names(client, unit="a1") == ["wish"]
    first = client.get("/v1/events?limit=3").json
    assert names(client, limit=3, cursor=first["next_cursor"]) == ["n0"]


def test_bots_are_set_aside_countable_and_recoverable(client: KeyedClient, stores: Stores, project_id: int) -> None:
    human, bot = ({"name": "visit", "user_id": who, "context": {"user_agent": agent}} for who, agent in
                  (("h", "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0"), ("b", BOT)))  # fmt: skip
    answer = send(client, human, bot)
    assert answer["accepted"] == 2
    assert [(warning["index"], warning["code"]) for warning in answer["warnings"]] == [(1, "bot")]
    [kept] = client.get("/v1/events").json["data"]
    assert (kept["user_id"], kept["device"]) == ("h", "desktop")
    assert [row["user_id"] for row in client.get("/v1/events?bots=true").json["data"]] == ["b"]
    assert stores.events.events(project_id).count().to_pyarrow().as_py() == 1
    assert stores.events.set_aside(project_id).count().to_pyarrow().as_py() == 1


def test_events_of_bots_are_taken_back_by_name_unit_and_time(client: KeyedClient) -> None:
    seen = [("visit", "b1", "2026-10-01"), ("visit", "b2", "2026-10-02"), ("cart", "b2", "2026-10-03")]
    send(client, *({"name": name, "user_id": who, "timestamp": f"{day}T00:00:00Z", "context": {"user_agent": BOT}}
                   for name, who, day in seen))  # fmt: skip
    assert names(client) == []

    def recover(**wanted: str) -> Any:
        return client.post("/v1/events/recover", json=wanted).json

    assert recover(name="never") == {"recovered": 0}
    assert recover(name="Visit", unit="b2") == {"recovered": 1}
    assert recover(name="Visit", unit="b2") == {"recovered": 0}
    assert names(client) == ["visit"]
    assert names(client, bots=True) == ["cart", "visit"]
    assert recover(**{"from": "2026-10-03T00:00:00Z"}) == {"recovered": 1}
    assert recover(to="2026-10-03T00:00:00Z") == {"recovered": 1}
    assert (names(client, bots=True), len(names(client))) == ([], 3)
    assert client.post("/v1/events/recover", json={"from": "yesterday"}).status_code == 422


def test_another_projects_bots_stay_aside(client_of: Any) -> None:
    ours, theirs = client_of(), client_of("other")
    send(ours, {"name": "visit", "context": {"user_agent": BOT}})
    assert theirs.post("/v1/events/recover", json={}).json == {"recovered": 0}
    assert names(ours) == []


def test_validating_gives_the_verdicts_and_stores_nothing(client: KeyedClient) -> None:
    events = [{"name": "ok"}, {"nam": "x"}, {"name": "click"}, {"name": "x", "value": "much"}]
    checked = client.post("/v1/events/validate", json={"events": events}).json
    assert names(client) == []
    assert checked == send(client, *events)


def test_a_file_from_before_bots_were_told_apart_is_upgraded(tmp_path: Path) -> None:
    path = str(tmp_path / "events.duckdb")
    DuckDBEventStore(path).close()
    with duckdb.connect(path) as connection:
        connection.execute("ALTER TABLE events DROP COLUMN bot")
    for _ in range(2):
        store = DuckDBEventStore(path)
        assert "bot" in store.table("events").columns
        store.close()
