from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.conftest import KeyedClient
from tests.fixtures.feedback import DESTINATIONS

META = {**DESTINATIONS["meta-main"], "credentials": {"access_token": "very-secret-token"}}


def test_credentials_are_never_shown_and_never_stored_in_clear(client: KeyedClient, tmp_path: Path) -> None:
    answer = client.put("/v1/destinations/meta-main", json=META)
    assert answer.json["has_credentials"] is True
    shown = answer.text + client.get("/v1/destinations").text
    assert "very-secret-token" not in shown
    with sqlite3.connect(tmp_path / "control.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert b"very-secret-token" not in (tmp_path / "control.sqlite").read_bytes()


def test_without_credentials_the_stored_ones_stay(client: KeyedClient) -> None:
    assert client.put("/v1/destinations/m", json=DESTINATIONS["meta-main"]).status_code == 422
    client.put("/v1/destinations/m", json=META)
    kept = client.put("/v1/destinations/m", json={**DESTINATIONS["meta-main"], "mode": "paused"})
    assert (kept.json["has_credentials"], kept.json["mode"]) == (True, "paused")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"platform": "myspace"}, "/platform"),
        ({"account": {"dataset_id": "not a number"}}, "/account/dataset_id"),
        ({"account": {"dataset_id": "1", "extra": "x"}}, "/account/extra"),
        ({"credentials": {}}, "/credentials/access_token"),
        ({"mode": "off"}, "/mode"),
        ({"base_url": "https://user:word@example.com"}, "/base_url"),
        ({"base_url": "ftp://example.com"}, "/base_url"),
        ({"base_url": "http://[bad"}, "/base_url"),
        ({"base_url": "http://10.0.0.1"}, "/base_url"),
        ({"base_url": "http://169.254.169.254"}, "/base_url"),
    ],
)
def test_what_does_not_fit_is_named(client: KeyedClient, change: dict[str, object], pointer: str) -> None:
    answer = client.put("/v1/destinations/m", json={**META, **change})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert "very-secret-token" not in answer.text
    assert client.get("/v1/destinations/m").status_code == 404


def test_a_rule_needs_a_known_destination_and_an_amount_only_when_fixed(client: KeyedClient) -> None:
    client.put("/v1/destinations/m", json=META)
    body = {"event": "Add To Cart", "destinations": ["m"]}
    assert client.put("/v1/signal-rules/r", json=body).json["event"] == "add_to_cart"
    unknown = client.put("/v1/signal-rules/r", json={**body, "destinations": ["nobody"]})
    assert unknown.json["errors"][0]["pointer"] == "/destinations/0"
    fixed = client.put("/v1/signal-rules/r", json={**body, "value": {"mode": "fixed"}})
    assert fixed.json["errors"][0]["pointer"] == "/value/amount"
