"""The unmodified Segment client against a real server."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
from segment.analytics import Client

from tests.fixtures.server import BOOTSTRAP_KEY, Server


def test_the_segment_client_delivers_everything_it_was_given(start_server: Callable[..., Server]) -> None:
    server = start_server()
    failures: list[object] = []
    client = Client(
        BOOTSTRAP_KEY,
        host=server.url,
        gzip=True,
        on_error=lambda error, items: failures.append((error, items)),
        max_retries=1,
        timeout=30,
    )
    context = {"campaign": {"name": "Spring-Sale", "source": "Google", "medium": "cpc"}, "ip": "203.0.113.9"}
    client.track("u1", "Product Added", {"product_id": "sku-1", "price": 19.9, "currency": "EUR"}, context=context)
    client.track("u1", "Order Completed", {"revenue": 39.8, "currency": "EUR"})
    client.page("u1", name="Home")
    client.identify("u1", {"email": "someone@example.com"})
    client.track(
        None,
        "Experiment Viewed",
        {"experiment_id": "pdp-cta", "variation_id": "treatment"},
        anonymous_id="visitor-7",
    )
    for number in range(250):
        client.track(None, "Video Start", {"title": str(number)}, anonymous_id=f"a{number}")
    client.shutdown()
    assert failures == []
    server.terminate()
    with duckdb.connect(str(server.data_dir / "events.duckdb"), read_only=True) as connection:
        names = dict(connection.execute("SELECT name, count(*) FROM events GROUP BY name").fetchall())
        bought = connection.execute("SELECT value, currency, unit_id FROM events WHERE name = 'purchase'").fetchall()
        added = connection.execute("SELECT source, campaign FROM events WHERE name = 'add_to_cart'").fetchall()
        exposed = connection.execute("SELECT experiment, variant, unit_id FROM exposures").fetchall()
    assert names == {"add_to_cart": 1, "purchase": 1, "page_view": 1, "identify": 1, "video_start": 250}
    assert bought == [(39.8, "EUR", "u:u1")]
    assert added == [("google", "spring_sale")]
    assert exposed == [("pdp-cta", "treatment", "a:visitor-7")]
