from __future__ import annotations

from collections.abc import Callable

from tests.conftest import Clock, KeyedClient
from tests.experiments.conftest import Draft

PATH = "/v1/experiments/pdp-cta"


def test_the_log_says_who_looked_when_and_what_the_verdict_said_once_a_look(
    client: KeyedClient, run: Draft, client_of: Callable[..., KeyedClient], clock: Clock
) -> None:
    run(allocation=0.5)
    client.patch(PATH, json={"allocation": 0.8})
    reader = client_of(scope="read")
    clock.forward(days=1)
    for _ in range(3):
        reader.get(f"{PATH}/results")
    client.get(f"{PATH}/results")
    client.get(f"{PATH}/report?format=json")  # the same look
    client.get(f"{PATH}/results?dimension=device")  # one slice more is one chance more to be misled
    clock.forward(days=1)
    reader.get(f"{PATH}/results")
    lines = client.get(f"{PATH}/log").json["data"]
    prefixes = {key["scope"]: key["prefix"] for key in client.get("/v1/keys").json["data"]}
    admin, read = prefixes["admin"], prefixes["read"]
    assert [(line["action"], line["actor"], line["at"][:10]) for line in lines] == [
        ("created", admin, "2026-11-01"),
        ("started", admin, "2026-11-01"),
        ("changed", admin, "2026-11-01"),
        ("looked", read, "2026-11-02"),
        ("looked", admin, "2026-11-02"),
        ("looked", admin, "2026-11-02"),
        ("looked", read, "2026-11-03"),
    ]
    assert lines[2]["detail"] == {"fields": ["allocation"], "allocation": 0.8}
    looked = lines[3]["detail"]
    assert looked["as_of"] == "2026-11-02T00:00:00Z"
    assert looked["decision"] == "continue"
    assert looked["reasons"]
    assert lines[5]["detail"]["dimension"] == "device"
    assert looked["units"] == {"control": 0, "treatment": 0}


def test_the_log_comes_in_pages_and_takes_nothing_back(client: KeyedClient, run: Draft) -> None:
    run()
    first = client.get(f"{PATH}/log?limit=1").json
    second = client.get(f"{PATH}/log", query_string={"limit": 1, "cursor": first["next_cursor"]}).json
    assert [line["action"] for line in first["data"] + second["data"]] == ["created", "started"]
    assert second["next_cursor"] is None
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.open(f"{PATH}/log", method=method).status_code == 405


def test_notes_are_kept_and_belong_to_their_project(
    client: KeyedClient, draft: Draft, client_of: Callable[..., KeyedClient], clock: Clock
) -> None:
    draft()
    assert client.post(f"{PATH}/notes", json={"text": "The mail went out today."}).status_code == 201
    clock.forward(hours=1)
    client.post(f"{PATH}/notes", json={"text": "Server slow from 12:10 to 12:20."})
    notes = client.get(f"{PATH}/notes").json["data"]
    assert [(note["text"], note["at"]) for note in notes] == [
        ("The mail went out today.", "2026-11-01T12:00:00Z"),
        ("Server slow from 12:10 to 12:20.", "2026-11-01T13:00:00Z"),
    ]
    page = client.get(f"{PATH}/notes?limit=1").json
    assert client.get(f"{PATH}/notes", query_string={"cursor": page["next_cursor"]}).json["data"] == notes[1:]
    assert client.post(f"{PATH}/notes", json={"text": ""}).status_code == 422
    for path in ("notes", "log"):
        assert client_of(f"other-{path}").get(f"{PATH}/{path}").status_code == 404
