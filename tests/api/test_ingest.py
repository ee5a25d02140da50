from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.ingest.match_data import read_contacts, read_match_data
from optimizer.storage.stores import Stores
from tests.conftest import Clock, KeyedClient

FULL = {
    "event_id": "f1",
    "name": "Add To Cart",
    "timestamp": "2026-11-01T10:00:00Z",
    "user_id": "u1",
    "anonymous_id": "a1",
    "session_id": "s1",
    "properties": {"item_id": "sku-1", "placement": "product_page"},
    "value": 19.9,
    "currency": "EUR",
    "context": {
        "source": "Google",
        "medium": "cpc",
        "campaign": "Spring-Sale",
        "device": "mobile",
        "ip": "203.0.113.7",
    },
    "click_ids": {"gclid": "abc"},
    "consent": {"analytics": True, "ad_user_data": True, "ad_personalization": False, "email": True},
    "user": {"email": "Someone@Example.com", "phone": "+49 30 123456"},
}


def stored(stores: Stores, project_id: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = stores.events.events(project_id).order_by("sequence").to_pyarrow().to_pylist()
    return rows


def send(client: KeyedClient, *events: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/v1/events", json={"events": list(events)})
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def test_an_accepted_event_is_stored_whole_with_canonical_names(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    assert send(client, FULL) == {"accepted": 1, "duplicates": 0, "rejected": [], "warnings": []}
    [row] = stored(stores, project_id)
    assert row["name"] == "add_to_cart"
    assert (row["unit_id"], row["user_id"], row["anonymous_id"]) == ("u:u1", "u1", "a1")
    assert (row["source"], row["campaign"], row["device"]) == ("google", "spring_sale", "mobile")
    assert json.loads(row["properties"]) == FULL["properties"]
    assert row["value"] == 19.9
    assert row["consent_ad_personalization"] is False


def test_raw_contacts_and_addresses_reach_no_file_in_clear(
    client: KeyedClient, stores: Stores, project_id: int, tmp_path: Any
) -> None:
    send(client, FULL)
    with stores.control.reading() as session:
        match = read_match_data(session, stores.cipher, project_id, ["f1"], now=Clock().now)["f1"]
        contact = read_contacts(session, stores.cipher, project_id, ["u:u1"])["u:u1"]
    assert match.ip == "203.0.113.7"
    assert match.click_ids == {"gclid": "abc"}
    assert match.email_sha256 is not None
    assert contact.email_sha256 == match.email_sha256
    assert contact.email is None
    for path in tmp_path.iterdir():
        content = path.read_bytes().lower()
        for personal in (b"someone@example.com", b"203.0.113.7", match.email_sha256.encode()):
            assert personal not in content, path.name


def test_contacts_are_kept_readable_only_with_contact_storage(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    assert client.patch("/v1/project", json={"contact_storage": True}).json["contact_storage"] is True
    send(client, FULL)
    with stores.control.reading() as session:
        contact = read_contacts(session, stores.cipher, project_id, ["u:u1"])["u:u1"]
    assert contact.email == "Someone@Example.com"


def test_without_ad_consent_nothing_is_kept_to_recognise_a_person(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    send(client, {**FULL, "consent": {"analytics": True}})
    with stores.control.reading() as session:
        assert not read_match_data(session, stores.cipher, project_id, ["f1"], now=Clock().now)
        assert not read_contacts(session, stores.cipher, project_id, ["u:u1"])


def test_without_analytics_consent_an_event_keeps_no_ids(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    send(client, {**FULL, "consent": {"analytics": False, "ad_user_data": True}})
    [row] = stored(stores, project_id)
    assert row["unit_id"] == ""
    assert row["user_id"] is row["anonymous_id"] is row["session_id"] is None
    with stores.control.reading() as session:
        assert not read_match_data(session, stores.cipher, project_id, ["f1"], now=Clock().now)


def test_the_same_id_again_is_a_duplicate_and_other_content_is_warned_about(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    send(client, FULL)
    assert send(client, FULL) == {"accepted": 0, "duplicates": 1, "rejected": [], "warnings": []}
    changed = send(client, {**FULL, "value": 1.0}, {**FULL, "event_id": "f2"}, {**FULL, "event_id": "f2"})
    assert (changed["accepted"], changed["duplicates"]) == (1, 2)
    assert [(w["index"], w["code"]) for w in changed["warnings"]] == [(0, "different_content")]
    assert [row["value"] for row in stored(stores, project_id)] == [19.9, 19.9]


def test_a_bad_event_never_fails_its_batch(client: KeyedClient, stores: Stores, project_id: int) -> None:
    answer = send(
        client,
        {"name": "view_item", "anonymous_id": "a"},
        {"nam": "typo"},
        {"name": 7},
        {"name": "x", "timestamp": "yesterday"},
        {"name": "x", "value": "much"},
        {"name": "x", "currency": "euro"},
        {"name": "x", "context": {"source": 3}},
        {"name": "!!"},
        {"name": "x", "properties": {"blob": "x" * 40_000}},
        {"name": "x", "user_id": "u\u0000"},
        {"name": "x", "value": 1e16},
        {"name": "purchase", "anonymous_id": "a"},
    )
    assert answer["accepted"] == 2
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [
        (1, "missing_name"),
        (2, "invalid_field"),
        (3, "invalid_field"),
        (4, "invalid_field"),
        (5, "invalid_field"),
        (6, "invalid_field"),
        (7, "missing_name"),
        (8, "too_large"),
        (9, "nul_character"),
        (10, "invalid_field"),
    ]
    assert [row["name"] for row in stored(stores, project_id)] == ["view_item", "purchase"]


def test_an_unknown_field_is_ignored_with_a_warning_that_names_it(client: KeyedClient) -> None:
    answer = send(client, {"name": "x", "anonymous_id": "a", "colour": 1, "context": {"zip": 2}})
    assert answer["accepted"] == 1
    assert ["colour" in w["detail"] or "context.zip" in w["detail"] for w in answer["warnings"]] == [True, True]


def test_a_value_in_another_currency_is_stored_with_a_warning_and_counted(client: KeyedClient) -> None:
    answer = send(
        client,
        {"name": "purchase", "anonymous_id": "a", "value": 10.0, "currency": "EUR"},
        {"name": "purchase", "anonymous_id": "a", "value": 10.0, "currency": "USD"},
        {"name": "purchase", "anonymous_id": "a", "currency": "USD"},
    )
    assert answer["accepted"] == 3
    [warning] = answer["warnings"]
    assert (warning["index"], warning["code"]) == (1, "other_currency")
    assert warning["detail"].startswith("Values are added up as EUR, and this USD is not converted")
    [found] = client.get("/v1/catalog/quality").json["data"]
    assert found["counters"] == {"other_currency": 1}
    assert client.patch("/v1/project", json={"currency": "USD"}).status_code == 200
    assert send(client, {"name": "purchase", "anonymous_id": "a", "value": 10.0, "currency": "USD"})["warnings"] == []


def test_times_ahead_of_our_clock_are_clamped_or_rejected(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    answer = send(
        client,
        {"name": "soon", "anonymous_id": "a", "timestamp": "2026-11-01T12:30:00Z"},
        {"name": "late", "anonymous_id": "a", "timestamp": "2026-11-01T14:00:00Z"},
        {"name": "old", "anonymous_id": "a", "timestamp": "2001-01-01T00:00:00+02:00"},
        {"name": "older", "anonymous_id": "a", "timestamp": "0001-01-01T00:00:00+02:00"},
    )
    assert [w["code"] for w in answer["warnings"]] == ["clamped_timestamp"]
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [(1, "future_timestamp"), (3, "too_old")]
    assert [str(row["timestamp"]) for row in stored(stores, project_id)] == [
        "2026-11-01 12:00:00",
        "2000-12-31 22:00:00",
    ]


def test_a_cookieless_visitor_is_one_unit_within_a_day_and_another_the_next(
    client: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    visit = {"name": "visit", "context": {"ip": "203.0.113.7", "user_agent": "Browser"}}
    send(client, visit, visit, {"name": "visit", "context": {"ip": "203.0.113.8", "user_agent": "Browser"}})
    clock.forward(days=1)
    send(client, visit)
    units = [row["unit_id"] for row in stored(stores, project_id)]
    assert units[0] == units[1]
    assert len(set(units)) == 3
    assert all(unit.startswith("c:") for unit in units)


def test_counts_replace_what_was_sent_for_the_same_key(client: KeyedClient, stores: Stores, project_id: int) -> None:
    row = {
        "date": "2026-10-31",
        "name": "Add To Cart",
        "visitors": 310,
        "occurrences": 420,
        "dimensions": {"device": "m"},
    }
    body = {"system": "swetrix", "counts": [row, {**row, "visitors": -1}, {**row, "occurrences": 1}]}
    first = client.post("/v1/counts", json=body).json
    assert first["accepted"] == 1
    assert [r["index"] for r in first["rejected"]] == [1, 2]
    client.post("/v1/counts", json={"system": "swetrix", "counts": [{**row, "visitors": 400}]})
    client.post("/v1/counts", json={"system": "other", "counts": [{**row, "visitors": 7}]})
    rows = stores.events.counts(project_id).order_by("sequence").to_pyarrow().to_pylist()
    assert [(r["system"], r["name"], r["visitors"]) for r in rows] == [
        ("swetrix", "add_to_cart", 400),
        ("other", "add_to_cart", 7),
    ]


def test_exposures_need_a_unit_and_are_deduplicated(client: KeyedClient, stores: Stores, project_id: int) -> None:
    exposure = {"experiment": "pdp-cta", "variant": "b", "user_id": "u1", "exposure_id": "x1"}
    body = {"exposures": [exposure, exposure, {"experiment": "pdp-cta", "variant": "b"}]}
    answer = client.post("/v1/exposures", json=body).json
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)
    assert answer["rejected"][0]["code"] == "missing_unit"
    [row] = stores.events.exposures(project_id).to_pyarrow().to_pylist()
    assert (row["experiment"], row["variant"], row["unit_id"]) == ("pdp-cta", "b", "u:u1")


def test_gzip_is_read(client: KeyedClient) -> None:
    packed = gzip.compress(json.dumps({"events": [{"name": "x", "user_id": "u"}]}).encode())
    assert client.post("/v1/events", data=packed, headers={"Content-Encoding": "gzip"}).json["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"events": [', 400),
        (b"\xff\xfe", 400),
        (b'{"events": [NaN]}', 400),
        (b'{"events": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"events": [{"name":"x","properties":' + b'{"a":' * 70 + b"1" + b"}" * 71 + b"]}", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"events": 1}', 422),
        (b'{"events": [], "evnts": []}', 422),
        (json.dumps({"events": [{}] * 2501}).encode(), 413),
        (b'{"events": "' + b"x" * 5_000_001 + b'"}', 413),
    ],
)
def test_a_body_that_cannot_be_taken_gets_the_right_status(client: KeyedClient, body: bytes, status: int) -> None:
    answer = client.post("/v1/events", data=body)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"


def test_a_gzip_bomb_is_refused_without_being_inflated(client: KeyedClient) -> None:
    bomb = gzip.compress(b"0" * 200_000_000)
    answer = client.post("/v1/events", data=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    broken = client.post("/v1/events", data=bomb[:100], headers={"Content-Encoding": "gzip"})
    assert broken.status_code == 400


def test_an_event_outside_a_strict_catalog_is_rejected(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/add_to_cart", json={"required_properties": {"item_id": "string"}})
    client.patch("/v1/project", json={"strict_catalog": True})
    answer = send(client, {"name": "add_to_cart", "user_id": "u"}, {"name": "other", "user_id": "u"})
    assert [r["code"] for r in answer["rejected"]] == ["unknown_name"]
    assert [w["code"] for w in answer["warnings"]] == ["missing_property"]


def test_projects_never_see_each_other(client_of: Callable[..., KeyedClient], stores: Stores) -> None:
    first, second = client_of(), client_of("second")
    send(first, FULL)
    assert send(second, FULL)["accepted"] == 1
    assert [d["name"] for d in second.get("/v1/catalog").json["data"]] == ["add_to_cart"]
    assert second.get("/v1/project").json["key"] == "second"
    assert len(stored(stores, 1)) == len(stored(stores, 2)) == 1


def test_half_an_emoji_is_replaced_and_a_whole_one_stays(
    client: KeyedClient, stores: Stores, project_id: int
) -> None:
    raw = rb'{"events": [{"name": "a", "user_id": "\ud83d\ude00"}, {"name": "a", "user_id": "cut \ud83d"}]}'
    answer = client.post("/v1/events", data=raw, headers={"Content-Type": "application/json"})
    assert answer.json["accepted"] == 2
    assert {row["user_id"] for row in stored(stores, project_id)} == {"\U0001f600", "cut \ufffd"}
