"""Plausible and Swetrix: cookieless, keyless, from pages of allowed origins only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from optimizer.storage.stores import Stores
from tests.conftest import Clock, KeyedClient

SHOP = "https://shop.example.com"
PHONE = "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/142.0 Mobile Safari/537.36"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PAGE_VIEW = {"n": "pageview", "u": f"{SHOP}/p?utm_source=Mail", "d": "shop.example.com", "r": "https://a.example"}
ADDED = {"n": "Add to cart", "u": f"{SHOP}/p", "d": "shop.example.com", "p": '{"item_id": "sku-1"}', "h": 0}
CUSTOM = {"pid": "default", "ev": "add_to_cart", "meta": {"item_id": "sku-1", "value": "19.9", "currency": "EUR"},
          "pg": "/p", "so": "google", "me": "cpc", "ca": "May"}  # fmt: skip


@pytest.fixture
def page(app: APIFlask, client: KeyedClient) -> FlaskClient:
    """A page of the shop: requests carry its origin and no key."""
    assert client.patch("/v1/project", json={"allowed_origins": ["HTTPS://Shop.example.com/"]}).status_code == 200
    return app.test_client()


def send(
    page: FlaskClient, path: str, body: Any, origin: str | None = SHOP, agent: str = PHONE, **options: Any
) -> Any:
    headers = {"User-Agent": agent, **({"Origin": origin} if origin else {}), **options.pop("headers", {})}
    return page.post(path, data=json.dumps(body), headers={"Content-Type": "text/plain", **headers}, **options)


def rows(stores: Stores) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stores.events.events(1).order_by("sequence").to_pyarrow().to_pylist()
    return found


def test_plausible_events_arrive_with_source_device_and_a_cookieless_visitor(
    page: FlaskClient, stores: Stores
) -> None:
    for body in (PAGE_VIEW, ADDED):
        answer = send(page, "/api/event", body)
        assert (answer.status_code, answer.text) == (202, "ok")
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    viewed, added = rows(stores)
    assert (viewed["name"], viewed["source"], viewed["device"]) == ("page_view", "mail", "mobile")
    assert (added["name"], json.loads(added["properties"])) == ("add_to_cart", {"item_id": "sku-1"})
    assert viewed["unit_id"] == added["unit_id"]
    assert viewed["unit_id"].startswith("c:")
    assert viewed["user_id"] is viewed["anonymous_id"] is None


def test_plausibles_documented_words_are_read_too(page: FlaskClient, stores: Stores) -> None:
    body = {"name": "Purchase", "url": f"{SHOP}/done", "domain": "shop.example.com", "props": {"plan": "pro"},
            "revenue": {"currency": "EUR", "amount": "1322.22"}}  # fmt: skip
    assert send(page, "/api/event", body).status_code == 202
    assert send(page, "/api/event", {**body, "name": "engagement"}).status_code == 202
    [bought] = rows(stores)
    assert (bought["name"], bought["value"], bought["currency"]) == ("purchase", 1322.22, "EUR")
    assert json.loads(bought["properties"]) == {"plan": "pro"}


def test_swetrix_events_arrive(page: FlaskClient, stores: Stores) -> None:
    for path, body in (("/log", {"pid": "default", "pg": "/p"}), ("/log/", {"pid": "default", "pg": "/q"}),
                       ("/log/custom", CUSTOM), ("/log/hb", {"pid": "default"})):  # fmt: skip
        answer = send(page, path, body)
        assert answer.status_code == 201, path
        assert answer.json["rejected"] == []
    *views, added = rows(stores)
    assert [(view["name"], view["page"]) for view in views] == [("page_view", "/p"), ("page_view", "/q")]
    assert (added["name"], added["value"], added["currency"]) == ("add_to_cart", 19.9, "EUR")
    assert (added["source"], added["medium"], added["campaign"]) == ("google", "cpc", "may")


@pytest.mark.parametrize(("path", "body"), [("/api/event", ADDED), ("/log/custom", CUSTOM)])
def test_without_a_key_only_allowed_origins_of_the_named_project_may_send(
    page: FlaskClient, client: KeyedClient, stores: Stores, path: str, body: dict[str, Any]
) -> None:
    nobody = {**body, "d": "other.example.com", "pid": "other"}
    for refused in (send(page, path, body, origin=None), send(page, path, body, origin="https://evil.example.com"),
                    send(page, path, nobody)):  # fmt: skip
        assert refused.status_code == 403
        assert "allowed_origins" in refused.json["detail"]
        assert "Access-Control-Allow-Origin" not in refused.headers
    assert rows(stores) == []
    assert client.post(path, json=body).status_code in {201, 202}  # a server with a key needs no origin
    assert len(rows(stores)) == 1


def test_a_browser_asks_before_it_sends_and_is_told_for_ingest_routes_only(page: FlaskClient) -> None:
    for path, origin, allowed in (
        ("/log/custom", SHOP, True), ("/v1/events", SHOP, True), ("/v1/batch", SHOP, True),
        ("/log/custom", "https://evil.example.com", False), ("/v1/segments/preview", SHOP, False),
        ("/v1/signals", SHOP, False),
    ):  # fmt: skip
        answer = page.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert ("Access-Control-Allow-Origin" in answer.headers) is allowed, (path, origin)


def test_bots_are_told_by_the_browsers_own_user_agent(page: FlaskClient, stores: Stores, client: KeyedClient) -> None:
    assert send(page, "/log/custom", CUSTOM, agent=BOT).status_code == 201
    assert rows(stores) == []
    assert len(client.get("/v1/events?bots=true").json["data"]) == 1


@pytest.mark.parametrize("path", ["/api/event", "/log/custom"])
def test_a_body_that_cannot_be_read_is_400_and_a_bad_event_a_verdict(page: FlaskClient, path: str) -> None:
    assert page.post(path, data=b"{", headers={"Origin": SHOP}).status_code == 400
    assert page.post(path, data=b"[]", headers={"Origin": SHOP}).status_code == 400
    answer = send(page, path, {"d": "shop.example.com", "pid": "default"})
    assert answer.status_code in {201, 202}


@pytest.mark.parametrize("origin", ["shop.example.com", "ftp://shop.example.com", "https://shop.example.com/path"])
def test_an_origin_that_no_browser_sends_is_named(client: KeyedClient, origin: str) -> None:
    answer = client.patch("/v1/project", json={"allowed_origins": [origin]})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/allowed_origins/0")


def test_a_visit_over_midnight_keeps_its_id_and_the_next_day_brings_another(
    page: FlaskClient, stores: Stores, clock: Clock
) -> None:
    clock.forward(hours=11, minutes=50)  # 23:50
    send(page, "/log", {"pid": "default"})
    clock.forward(minutes=20)
    send(page, "/log", {"pid": "default"})
    clock.forward(minutes=25)  # 00:35: the visit goes on from 00:10
    send(page, "/log", {"pid": "default"})
    clock.forward(minutes=31)
    send(page, "/log", {"pid": "default"})
    first, second, third, fourth = [row["unit_id"] for row in rows(stores)]
    assert first == second == third != fourth
