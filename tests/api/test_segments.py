from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.api._context import EXTENSION
from optimizer.signals.likelihood import Coefficients, ModelCard
from optimizer.signals.reports import store_report
from optimizer.storage.stores import Stores
from tests.conftest import Clock, KeyedClient

CARTED = {"all": [{"did": "add_to_cart", "within_days": 14}, {"did_not": "purchase", "since": "add_to_cart"}]}
GRANTED = {"analytics": True, "ad_user_data": True, "ad_personalization": True, "email": True}


@pytest.fixture
def shop(client: KeyedClient, clock: Clock) -> Callable[..., None]:
    """Send events of one shopper; by default a cart with an address and every consent."""

    def send(who: str, name: str = "add_to_cart", **changes: Any) -> None:
        event = {
            "name": name,
            "user_id": who,
            "timestamp": clock.now.isoformat(),
            "properties": {"item_id": f"sku-{who}"},
            "value": 10.0,
            "currency": "EUR",
            "consent": GRANTED,
            "user": {"email": f"{who}@example.com"},
            **changes,
        }
        answer = client.post("/v1/events", json={"events": [event]})
        assert answer.json["accepted"] == 1, answer.json

    return send


def put(client: KeyedClient, **changes: Any) -> None:
    answer = client.put("/v1/segments/carted", json={"definition": CARTED, **changes})
    assert answer.status_code == 200, answer.json


def refresh(client: KeyedClient) -> dict[str, int]:
    answer = client.post("/v1/segments/carted/refresh")
    assert answer.status_code == 200, answer.json
    body: dict[str, int] = answer.json
    return body


def members(client: KeyedClient) -> list[str]:
    return [row["user_id"] for row in client.get("/v1/segments/carted/members").json["data"]]


def changes(client: KeyedClient, since: str | None = None) -> tuple[list[tuple[int, str, str]], str]:
    answer = client.get("/v1/segments/carted/changes", query_string={"since": since} if since else {}).json
    return [(row["sequence"], row["change"], row["user_id"]) for row in answer["data"]], answer["next_cursor"]


def test_members_enter_and_leave_and_every_change_is_numbered(
    client: KeyedClient, shop: Callable[..., None], clock: Clock
) -> None:
    put(client)
    shop("ann")
    shop("bob")
    assert refresh(client) == {"entered": 2, "left": 0, "members": 2}
    first, cursor = changes(client)
    assert first == [(1, "entered", "ann"), (2, "entered", "bob")]
    assert changes(client, cursor) == ([], cursor)
    clock.forward(minutes=1)
    shop("bob", "purchase")
    assert refresh(client) == {"entered": 0, "left": 1, "members": 1}
    clock.forward(minutes=1)
    shop("bob")
    refresh(client)
    later, last = changes(client, cursor)
    assert later == [(3, "left", "bob"), (4, "entered", "bob")]
    assert changes(client, last)[0] == []
    [ann] = [row for row in client.get("/v1/segments/carted/members").json["data"] if row["user_id"] == "ann"]
    assert (ann["items"], ann["value"], ann["anonymous_id"]) == (["sku-ann"], 10.0, None)
    assert len(ann["email_sha256"]) == 64
    assert ann["email"] is None  # the project keeps no contacts


@pytest.mark.parametrize("consent", [{}, {"email": False}, {"ad_user_data": True}])
def test_nobody_enters_without_consent_to_e_mail(
    consent: dict[str, bool], client: KeyedClient, shop: Callable[..., None]
) -> None:
    put(client)
    shop("ann", consent=consent)
    assert refresh(client)["members"] == 0
    preview = client.post("/v1/segments/preview", json={"definition": CARTED}).json
    assert (preview["fitting"], preview["permitted"], preview["sample"]) == (1, 0, [])


def test_an_ads_segment_needs_both_ad_consents(client: KeyedClient, shop: Callable[..., None]) -> None:
    put(client, purpose="ads")
    shop("ann", consent={**GRANTED, "ad_personalization": False})
    shop("bob", consent={**GRANTED, "email": False})
    refresh(client)
    assert members(client) == ["bob"]


def test_a_withdrawal_stops_the_pull_at_once_and_the_next_refresh_says_so(
    client: KeyedClient, shop: Callable[..., None], clock: Clock
) -> None:
    put(client)
    shop("ann")
    refresh(client)
    clock.forward(minutes=1)
    shop("ann", "settings_saved", consent={**GRANTED, "email": False})
    assert members(client) == []
    refresh(client)
    last = client.get("/v1/segments/carted/changes").json["data"][-1]
    assert (last["change"], last["reason"]) == ("left", "consent withdrawn")


@pytest.mark.parametrize("person", [{"user_id": "ann"}, {"email": " Ann@Example.com"}])
def test_a_suppression_ends_memberships_at_once_and_keeps_them_ended(
    person: dict[str, str], client: KeyedClient, shop: Callable[..., None]
) -> None:
    put(client)
    shop("ann")
    refresh(client)
    body = {"suppressions": [person]}
    assert client.post("/v1/suppressions", json=body).json == {
        "added": 1, "removed": 0, "unchanged": 0, "memberships_ended": 1,
    }  # fmt: skip
    assert changes(client)[0][-1] == (2, "left", "ann")
    assert refresh(client)["members"] == 0
    assert client.post("/v1/suppressions", json=body).json["unchanged"] == 1
    assert client.delete("/v1/suppressions", json=body).json["removed"] == 1
    assert refresh(client)["entered"] == 1


def test_a_suppression_for_ads_does_not_stop_e_mail(client: KeyedClient, shop: Callable[..., None]) -> None:
    put(client)
    shop("ann")
    client.post("/v1/suppressions", json={"suppressions": [{"user_id": "ann", "purpose": "ads"}]})
    assert refresh(client)["members"] == 1


def test_members_come_as_csv_and_ndjson_safe_for_spreadsheets(client: KeyedClient, shop: Callable[..., None]) -> None:
    client.patch("/v1/project", json={"contact_storage": True})
    put(client)
    shop("=cmd()", user={"email": "ann@example.com"}, value=-3.5)
    refresh(client)
    table = client.get("/v1/segments/carted/members", headers={"Accept": "text/csv"})
    assert table.mimetype == "text/csv"
    [row] = csv.DictReader(io.StringIO(table.text))
    assert (row["user_id"], row["email"], row["value"]) == ("'=cmd()", "ann@example.com", "-3.5")
    [line] = client.get("/v1/segments/carted/members?format=ndjson").text.splitlines()
    assert json.loads(line)["user_id"] == "=cmd()"


def test_members_come_in_pages(client: KeyedClient, shop: Callable[..., None]) -> None:
    put(client)
    for number in range(5):
        shop(f"u{number}")
    refresh(client)
    seen, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = client.get("/v1/segments/carted/members", query_string=query).json
        seen += [row["user_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"u{number}" for number in range(5)]


def test_a_cursor_of_a_deleted_segment_has_expired(client: KeyedClient, shop: Callable[..., None]) -> None:
    put(client)
    shop("ann")
    refresh(client)
    _, cursor = changes(client)
    assert client.delete("/v1/segments/carted").status_code == 204
    put(client)
    path = "/v1/segments/carted/changes"
    assert client.get(path, query_string={"since": cursor}).status_code == 410
    foreign = client.get(path, query_string={"since": "made-up"})
    assert (foreign.status_code, foreign.json["errors"][0]["pointer"]) == (400, "/query/since")


def test_the_job_refreshes_what_is_due_and_only_that(
    client: KeyedClient, shop: Callable[..., None], app: Any, clock: Clock
) -> None:
    schedule = app.extensions[EXTENSION].schedule
    put(client, refresh_minutes=10)
    shop("ann")
    ran = schedule.run_now("refresh_segments", now=clock.now)
    assert [done["members"] for done in ran.summary["segments"].values()] == [1]
    assert schedule.run_now("refresh_segments", now=clock.forward(minutes=9)).summary["segments"] == {}
    assert len(schedule.run_now("refresh_segments", now=clock.forward(minutes=1)).summary["segments"]) == 1


def test_a_key_for_pulling_opens_nothing_else(client: KeyedClient, client_of: Callable[..., KeyedClient]) -> None:
    put(client)
    puller, reader = client_of(scope="segments"), client_of(scope="read")
    assert puller.get("/v1/segments/carted/members").status_code == 200
    assert puller.get("/v1/segments/carted/changes").status_code == 200
    assert puller.get("/v1/segments").status_code == 403
    assert puller.get("/v1/events").status_code in {403, 405}
    assert reader.get("/v1/segments/carted/members").status_code == 403
    assert client_of("other").get("/v1/segments/carted/members").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"definition": {"did": "a", "colour": 1}}, "/definition/colour"),
        ({"definition": CARTED, "refresh_minutes": 0}, "/refresh_minutes"),
        ({"definition": CARTED, "purpose": "fun"}, "/purpose"),
        ({"definition": CARTED, "destinations": ["meta-main"]}, "/destinations"),
        ({}, "/definition"),
    ],
)
def test_what_does_not_fit_is_named(client: KeyedClient, body: dict[str, Any], pointer: str) -> None:
    answer = client.put("/v1/segments/carted", json=body)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert client.get("/v1/segments/carted").status_code == 404


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ({}, "/suppressions/0"),
        ({"user_id": "u", "email": "u@example.com"}, "/suppressions/0"),
        ({"email": "nobody"}, "/suppressions/0/email"),
        ({"email_sha256": "ABC"}, "/suppressions/0/email_sha256"),
    ],
)
def test_a_suppression_that_names_nobody_is_refused(client: KeyedClient, item: dict[str, str], pointer: str) -> None:
    answer = client.post("/v1/suppressions", json={"suppressions": [item]})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer)
    assert "nobody" not in answer.text


LIKELY = {"definition": {"all": [{"did": "cart"}, {"conversion_likelihood": {"at_least": 0.5}}]}}


def test_a_condition_on_the_likelihood_waits_for_a_model_that_holds(client: KeyedClient) -> None:
    for method, path in (("put", "/v1/segments/likely"), ("post", "/v1/segments/preview")):
        refused = getattr(client, method)(path, json=LIKELY)
        assert refused.status_code == 409
        assert "No model was trained yet" in refused.json["detail"]
    client.put("/v1/segments/all", json={"definition": {"did": "cart"}})
    assert client.post("/v1/segments/all/refresh").status_code == 200


def test_members_carry_their_likelihood_and_keep_their_places_when_the_model_is_gone(
    client: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    card = ModelCard(
        status="ok", reason="", goal="buy", horizon_days=7, trained_at=clock.now, training=None, calibration=None,
        test=None, judgement=None, top_features=[],
        model=Coefficients(events=["cart"], kinds=[], coefficients=[0.0, 0.0, 0.0, 2.0, 0.0], intercept=-1.0),
    )  # fmt: skip
    with stores.control.session() as session:
        store_report(session, project_id, "likelihood_model", card, now=clock.now)
    event = {"name": "cart", "user_id": "u1", "consent": {"email": True}}
    client.post("/v1/events", json={"events": [event, {**event, "user_id": "u2", "name": "look"}]})
    assert client.put("/v1/segments/likely", json=LIKELY).status_code == 200
    assert client.post("/v1/segments/likely/refresh").json["members"] == 1
    [member] = client.get("/v1/segments/likely/members").json["data"]
    assert member["conversion_likelihood"] == pytest.approx(1 / (1 + math.exp(1) / 4))
    clock.forward(days=36)  # the model is of another season by now
    assert client.post("/v1/segments/likely/refresh").status_code == 409
    assert len(client.get("/v1/segments/likely/members").json["data"]) == 1
