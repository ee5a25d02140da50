"""The loop on PostgreSQL: what one process kept there, another goes on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fixtures.feedback import DESTINATIONS, GRANTED, rule
from tests.fixtures.sandbox import TOKEN, Sandbox
from tests.fixtures.server import Server

CARTED = {"all": [{"did": "add_to_cart", "within_days": 14}, {"did_not": "purchase", "since": "add_to_cart"}]}


def test_feedback_and_segments_survive_a_kill_on_postgresql(
    start_server: Callable[..., Server], postgres_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first = start_server(data, OPTIMIZER_DATABASE_URL=postgres_url, OPTIMIZER_SCHEDULER="false")
    for key, body in DESTINATIONS.items():
        full = {**body, "credentials": {"access_token": TOKEN}, "base_url": sandbox.url}
        assert first.put(f"/v1/destinations/{key}", full).ok
    assert first.put("/v1/signal-rules/carts", rule()).ok
    assert first.put("/v1/segments/carted", {"definition": CARTED}).ok
    events = [
        {
            "event_id": f"e{number}",
            "name": "add_to_cart",
            "user_id": f"u{number}",
            "consent": GRANTED,
            "click_ids": {"gclid": "Cj0"},
            "context": {"page": "https://shop.example.com/", "user_agent": "Mozilla/5.0"},
        }
        for number in range(20)
    ]
    assert first.post("/v1/events", {"events": events}).json()["accepted"] == 20
    assert first.post("/v1/segments/carted/refresh", None).json()["entered"] == 20
    first.kill()
    second = start_server(data, OPTIMIZER_DATABASE_URL=postgres_url, OPTIMIZER_SCHEDULER="false")
    assert second.post("/v1/events", {"events": events}).json()["duplicates"] == 20
    for expected in (20, 0):
        run = second.post("/v1/feedback/sync", None).json()
        assert run["enqueued"] == 2 * expected
        assert [total["sent"] for total in run["destinations"]] == [expected, expected]
    assert second.post("/v1/signal-rules/carts/backfill", None).json() == {"enqueued": 0}
    assert all(item["times"] == 1 for item in sandbox.received())
    assert len(sandbox.received()) == 40
    assert second.post("/v1/suppressions", {"suppressions": [{"user_id": "u7"}]}).json()["memberships_ended"] == 1
    changes = second.get("/v1/segments/carted/changes").json()["data"]
    assert [change["sequence"] for change in changes] == list(range(1, 22))
