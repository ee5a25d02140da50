from __future__ import annotations

from collections.abc import Callable

from tests.conftest import KeyedClient
from tests.experiments.conftest import Draft


def test_a_holdout_only_grows_until_it_ends(client: KeyedClient, draft: Draft) -> None:
    draft("one")
    draft("two")
    path = "/v1/holdouts/always"
    assert client.put(path, json={"share": 0.05, "experiments": ["one"]}).json["share"] == 0.05
    assert client.put(path, json={"share": 0.04, "experiments": ["one"]}).status_code == 409
    assert client.put(path, json={"share": 0.05, "experiments": ["two"]}).status_code == 409
    assert client.put(path, json={"share": 0.1, "experiments": ["one", "two"]}).status_code == 200
    assert client.put(path, json={"share": 0.1}).json["experiments"] is None
    assert client.put(path, json={"share": 0.1, "experiments": ["one"]}).status_code == 409
    assert client.get("/v1/holdouts").json["data"] == [client.get(path).json]
    assert client.delete(path).json["ended_at"] == "2026-11-01T12:00:00Z"
    assert client.put(path, json={"share": 0.2}).status_code == 409


def test_what_does_not_fit_is_named(client: KeyedClient, draft: Draft, client_of: Callable[..., KeyedClient]) -> None:
    draft("one")
    for body, pointer in (
        ({"share": 0}, "/share"),
        ({"share": 0.6}, "/share"),
        ({"share": 0.1, "experiments": []}, "/experiments"),
        ({"share": 0.1, "experiments": ["one", "tow"]}, "/experiments/1"),
        ({}, "/share"),
    ):
        refused = client.put("/v1/holdouts/h", json=body)
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json["errors"]] == [pointer]
    client.put("/v1/holdouts/h", json={"share": 0.1})
    other = client_of("other")
    assert other.get("/v1/holdouts/h").status_code == 404
    assert other.delete("/v1/holdouts/h").status_code == 404
    assert other.get("/v1/holdouts").json["data"] == []
