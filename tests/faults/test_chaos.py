"""The server is killed at random moments under load; every acknowledged event is there exactly once.

Five kills in the ordinary run; `make chaos` does fifty.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import requests

from tests.fixtures.server import BOOTSTRAP_KEY, Server

KILLS = int(os.environ.get("CHAOS_KILLS", "5"))
CLIENTS = 4
BATCH = 50
LONGEST_LIFE_SECONDS = 1.5


class Target:
    """Where the server answers at the moment; clients wait while there is none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._url = ""

    def move(self, url: str) -> None:
        with self._changed:
            self._url = url
            self._changed.notify_all()

    def url(self, ended: threading.Event) -> str:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._url) or ended.is_set(), timeout=60)
            return self._url


class Tracker(threading.Thread):
    """A client that sends batch after batch and repeats what was not acknowledged."""

    def __init__(self, number: int, target: Target, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.target, self.ended = number, target, ended
        self.acknowledged: list[str] = []
        self.repeats = 0

    def run(self) -> None:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {BOOTSTRAP_KEY}"
        batch = 0
        while not self.ended.is_set():
            ids = [f"c{self.number}-{batch}-{place}" for place in range(BATCH)]
            if self._send(session, ids):
                self.acknowledged += ids
                batch += 1
            else:
                self.repeats += 1

    def _send(self, session: requests.Session, ids: list[str]) -> bool:
        events = [{"event_id": one, "name": "video_start", "user_id": one} for one in ids]
        try:
            answer = session.post(f"{self.target.url(self.ended)}/v1/events", json={"events": events}, timeout=10)
        except requests.RequestException:
            return False
        return answer.ok and answer.json()["accepted"] + answer.json()["duplicates"] == BATCH


def test_every_acknowledged_event_survives_kills_exactly_once(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    rng = random.Random(seed)  # noqa: S311 - moments to kill at
    data, target, ended = tmp_path / "data", Target(), threading.Event()
    trackers = [Tracker(number, target, ended) for number in range(CLIENTS)]
    for tracker in trackers:
        tracker.start()
    for kill in range(KILLS):
        server = start_server(data)
        target.move(server.url)
        ended.wait(rng.uniform(0.05, LONGEST_LIFE_SECONDS))  # a random moment under load, not a wait for something
        target.move("")
        server.kill()
        print(f"kill {kill + 1}: {sum(len(tracker.acknowledged) for tracker in trackers)} acknowledged")  # noqa: T201 - progress of `make chaos`
    server = start_server(data)
    target.move(server.url)
    ended.set()
    for tracker in trackers:
        tracker.join(60)
    assert server.terminate() == 0
    with duckdb.connect(str(data / "events.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT event_id, count(*) FROM events GROUP BY event_id").fetchall()
    stored = dict(rows)
    acknowledged = {one for tracker in trackers for one in tracker.acknowledged}
    assert len(acknowledged) > KILLS * BATCH
    assert sum(tracker.repeats for tracker in trackers) > 0
    assert acknowledged - stored.keys() == set()
    assert {one: times for one, times in stored.items() if times > 1} == {}
