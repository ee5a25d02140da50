"""Five hundred connections send as fast as they are answered: memory stays bounded and nothing acknowledged is lost.

Some seconds in the ordinary run; `make soak` does a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import duckdb
import psutil
import pytest

from tests.fixtures.server import BOOTSTRAP_KEY, Server

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
CONNECTIONS = 500
BATCH = 20
LIMIT_BYTES = 10**9
BUSY, OK = 503, 200


class Pressure:
    """What the connections saw, together."""

    def __init__(self, url: str) -> None:
        self.where = urlsplit(url)
        self.acknowledged: set[str] = set()
        self.refused = 0
        self.told_when = True
        self.other: list[str] = []

    async def connection(self, number: int, end: float) -> None:
        reader, writer = await asyncio.open_connection(self.where.hostname, self.where.port)
        batch = 0
        while time.monotonic() < end:
            ids = [f"c{number}-{batch}-{place}" for place in range(BATCH)]
            status, headers, answer = await self._send(reader, writer, ids)
            if status == OK:
                counted = json.loads(answer)
                assert counted["accepted"] + counted["duplicates"] == BATCH
                self.acknowledged.update(ids)
                batch += 1
            elif status == BUSY:
                self.refused += 1
                self.told_when &= b"retry-after:" in headers.lower()
            else:
                self.other.append(f"{status} {answer[:200]!r}")
                break
        writer.close()

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ids: list[str]
    ) -> tuple[int, bytes, bytes]:
        events = [{"event_id": one, "name": "video_start", "user_id": one} for one in ids]
        body = json.dumps({"events": events}).encode()
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
            % (BOOTSTRAP_KEY.encode(), len(body), body)
        )
        headers = await reader.readuntil(b"\r\n\r\n")
        length = int(headers.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(headers.split()[1]), headers, await reader.readexactly(length)

    async def run(self, workers: list[psutil.Process]) -> int:
        """Send until the time is up; return the most memory that the service had."""
        end = time.monotonic() + SECONDS
        sending = asyncio.gather(*(self.connection(number, end) for number in range(CONNECTIONS)))
        peak = 0
        while not sending.done():
            peak = max(peak, sum(worker.memory_info().rss for worker in workers))
            await asyncio.wait([sending], timeout=0.1)
        await sending
        return peak


@pytest.mark.timeout(600)
@pytest.mark.parametrize("queue", [50_000, 60], ids=["the usual queue", "a queue of three batches"])
def test_500_connections_at_once_lose_nothing_and_memory_is_bounded(
    queue: int, start_server: Callable[..., Server]
) -> None:
    server = start_server(None, OPTIMIZER_QUEUE_EVENTS=str(queue))
    pressure = Pressure(server.url)
    peak = asyncio.run(pressure.run(psutil.Process(server.pid).children()))
    assert pressure.other == []
    assert pressure.told_when
    assert peak < LIMIT_BYTES
    assert len(pressure.acknowledged) > CONNECTIONS
    assert server.get("/readyz").status_code == OK
    assert server.terminate() == 0
    with duckdb.connect(str(server.data_dir / "events.duckdb"), read_only=True) as connection:
        stored = connection.execute("SELECT event_id, count(*) FROM events GROUP BY event_id").fetchall()
    assert pressure.acknowledged - {one for one, _ in stored} == set()
    assert [one for one, times in stored if times > 1] == []
    print(f"{len(pressure.acknowledged):,} events acknowledged, {pressure.refused:,} requests refused, "  # noqa: T201
          f"peak {peak / 1e6:,.0f} MB")  # fmt: skip
    assert queue > BATCH * CONNECTIONS or pressure.refused > 0
