"""Events as they arrive, over a real connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import requests

from tests.conftest import KeyedClient
from tests.fixtures.server import BOOTSTRAP_KEY, Server


def opened(server: Server, query: str = "", **headers: str) -> requests.Response:
    given = {"Authorization": f"Bearer {BOOTSTRAP_KEY}", **headers}
    return requests.get(f"{server.url}/v1/events/stream{query}", headers=given, stream=True, timeout=30)


def events(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def test_events_are_sent_as_they_arrive_from_where_the_reader_was(start_server: Callable[..., Server]) -> None:
    server = start_server(None, OPTIMIZER_THREADS="8")
    server.post("/v1/events", {"events": [{"name": "before"}]})
    stream = opened(server, "?name=add_to_cart")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    lines = stream.iter_lines(chunk_size=1)
    assert next(lines) == b"retry: 1000"
    for number in range(3):
        body = {"events": [{"name": "wish"}, {"name": "Add to cart", "user_id": f"u{number}"}]}
        assert server.post("/v1/events", body).json()["accepted"] == 2
    arriving = events(lines)
    seen = [next(arriving) for _ in range(3)]
    assert [(one["name"], one["user_id"], one["warnings"]) for one in seen] == [
        ("add_to_cart", f"u{number}", ["merged_spelling"]) for number in range(3)
    ]
    later = opened(server, "", **{"Last-Event-ID": str(seen[1]["sequence"])})
    again = events(later.iter_lines(chunk_size=1))
    assert [next(again)["name"] for _ in range(2)] == ["wish", "add_to_cart"]
    third = opened(server)
    assert (third.status_code, third.headers["Retry-After"]) == (503, "10")
    assert server.terminate() == 0  # open streams do not hold the stop
    assert list(arriving) == []


def test_a_stream_takes_read_and_an_id_that_was_sent(
    client: KeyedClient, client_of: Callable[..., KeyedClient]
) -> None:
    assert client_of(scope="ingest").get("/v1/events/stream").status_code == 403
    assert client.get("/v1/events/stream", headers={"Last-Event-ID": "x"}).status_code == 400
    assert client.get("/v1/events/stream?nam=x").status_code == 422
