"""Several web processes and schedulers on PostgreSQL and ClickHouse."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.server import BOOTSTRAP_KEY, Server

pytestmark = pytest.mark.xdist_group("clickhouse")
WEB = ("web", "--port", "0", "--workers", "2")
BATCHES = 20


def test_several_processes_take_events_and_nothing_is_lost_or_doubled(
    start_server: Callable[..., Server], postgres_url: str, clickhouse_url: str, tmp_path: Path
) -> None:
    stores = {"OPTIMIZER_DATABASE_URL": postgres_url, "OPTIMIZER_EVENTS_URL": clickhouse_url,
              "OPTIMIZER_SECRET_KEY": "one key for every process"}  # fmt: skip
    webs = [start_server(tmp_path / name, *WEB, **stores) for name in ("one", "two")]
    schedulers = [start_server(tmp_path / "jobs", "scheduler", **stores) for _ in range(2)]
    assert any("ready" in line for line in schedulers[0].log)  # a job may have rung since

    def send(number: int) -> int:
        events = [
            {"event_id": f"e{number}-{place}", "name": "add_to_cart", "user_id": f"u{place}"} for place in range(50)
        ]
        answers = [server.post("/v1/events", {"events": events}) for server in webs]  # the client retries elsewhere
        assert all(answer.status_code == 200 for answer in answers)
        return len(events)

    with ThreadPoolExecutor(8) as pool:
        sent = sum(pool.map(send, range(BATCHES)))
    webs[1].kill()
    found = count(webs[0])
    assert found == sent
    funnel = {"steps": ["add_to_cart", "purchase"]}
    webs[0].put("/v1/catalog/events/purchase", {"kind": "macro"})
    assert webs[0].post("/v1/insights/funnel", funnel).json()["total"]["steps"][0]["units"] == 50
    assert webs[0].terminate() == 0
    assert schedulers[0].terminate() == 0


def count(server: Server) -> int:
    found, cursor = 0, ""
    while True:
        page: Any = requests.get(
            f"{server.url}/v1/events?limit=500{cursor}",
            headers={"Authorization": f"Bearer {BOOTSTRAP_KEY}"},
            timeout=30,
        ).json()
        found += len(page["data"])
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("command", ["web", "scheduler"])
def test_an_embedded_store_is_not_shared(start_server: Callable[..., Server], command: str) -> None:
    server = start_server(None, command)
    assert server.wait() == 2
    assert "optimizer serve" in "".join(server.log)
