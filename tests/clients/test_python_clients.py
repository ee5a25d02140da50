"""Unmodified Python clients against a real server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import duckdb

from tests.fixtures.server import BOOTSTRAP_KEY, Server


def stored(server: Server, query: str) -> list[tuple[Any, ...]]:
    """Read the event store after the server has ended."""
    assert server.terminate() == 0
    with duckdb.connect(str(server.data_dir / "events.duckdb"), read_only=True) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
        return rows


def test_the_posthog_client_delivers_everything_it_was_given(start_server: Callable[..., Server]) -> None:
    from posthog import Posthog

    server = start_server()
    failures: list[object] = []
    client = Posthog(
        BOOTSTRAP_KEY, host=server.url, gzip=True, on_error=lambda error, items: failures.append((error, items))
    )
    client.capture(
        "Add To Cart", distinct_id="u1", properties={"value": 19.9, "currency": "EUR", "utm_source": "Google"}
    )
    client.capture("$pageview", distinct_id="u1", properties={"$current_url": "https://shop.example.com/"})
    client.capture("Wish", distinct_id="visitor-1", properties={"$process_person_profile": False})
    for number in range(250):
        client.capture("Video Start", distinct_id=f"u{number}", timestamp=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    client.shutdown()
    assert failures == []
    rows = stored(server, "SELECT name, unit_id, value, currency, source, page FROM events")
    names = [row[0] for row in rows]
    assert {name: names.count(name) for name in set(names)} == {
        "add_to_cart": 1, "page_view": 1, "wish": 1, "video_start": 250,
    }  # fmt: skip
    assert ("add_to_cart", "u:u1", 19.9, "EUR", "google", None) in rows
    assert ("page_view", "u:u1", None, None, None, "https://shop.example.com/") in rows
    assert ("wish", "a:visitor-1", None, None, None, None) in rows


def test_the_ga4_client_delivers_what_it_was_given(start_server: Callable[..., Server]) -> None:
    from ga4mp import GtagMP

    server = start_server()
    client = GtagMP(api_secret=BOOTSTRAP_KEY, measurement_id="G-1", client_id="123.456")
    client._base_domain = f"{server.url}/mp/collect"
    purchase = client.create_new_event(name="purchase")
    for name, value in {"currency": "EUR", "value": 39.8, "transaction_id": "t1"}.items():
        purchase.set_event_param(name=name, value=value)
    for _ in range(2):
        client.send(events=[purchase])
    starts = [client.create_new_event(name="video_start") for _ in range(60)]
    for place, started in enumerate(starts):
        started.set_event_param(name="video_title", value=str(place))
    client.send(events=starts)
    rows = stored(server, "SELECT name, unit_id, value, event_id, count(*) FROM events GROUP BY ALL ORDER BY name")
    assert rows[0] == ("purchase", "a:123.456", 39.8, "ga4-purchase-t1", 1)
    assert [row[:3] for row in rows[1:]] == [("video_start", "a:123.456", None)] * 60
