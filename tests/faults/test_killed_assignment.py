"""The server is killed while units are shown variants: what was answered is on disk once, and is answered again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import requests

from tests.fixtures.server import BOOTSTRAP_KEY, Server

CLIENTS = 4
KILLED_AFTER_SECONDS = 0.8
GERMAN, FRENCH = {"country": "DE"}, {"country": "FR"}


def evaluate(session: requests.Session, url: str, unit: str, attributes: dict[str, str], *, record: bool) -> str:
    answer = session.post(
        f"{url}/ofrep/v1/evaluate/flags/pdp-cta?record_exposure={str(record).lower()}",
        json={"context": {"targetingKey": unit, **attributes}},
        headers={"X-API-Key": BOOTSTRAP_KEY},
        timeout=10,
    )
    answer.raise_for_status()
    variant: str = answer.json()["variant"]
    return variant


def test_recorded_exposures_survive_a_kill_once_and_stay_sticky(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    server = start_server(data)
    server.put("/v1/catalog/events/add_to_cart", {})
    rule = {"attribute": "country", "is": "DE"}
    variants = [{"key": "control"}, {"key": "treatment"}]
    design = {"key": "pdp-cta", "primary_metric": "add_to_cart", "targeting": rule, "variants": variants}
    assert server.post("/v1/experiments", design).ok
    assert server.post("/v1/experiments/pdp-cta/start", {}).ok
    url = server.url

    def show(number: int) -> dict[str, str]:
        session = requests.Session()
        shown: dict[str, str] = {}
        while True:
            unit = f"{number}-{len(shown)}"
            try:
                shown[unit] = evaluate(session, url, unit, GERMAN, record=True)
            except requests.RequestException:
                return shown

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(show, number) for number in range(CLIENTS)]
        threading.Event().wait(KILLED_AFTER_SECONDS)  # a moment under load, not a wait for something
        server.kill()
        answered = {unit: variant for one in running for unit, variant in one.result().items()}
    assert len(answered) > 20
    server = start_server(data)
    session = requests.Session()
    # Their attributes have changed: only what was kept of them can give the same answer.
    again = {unit: evaluate(session, server.url, unit, FRENCH, record=False) for unit in answered}
    assert again == answered
    for unit, variant in list(answered.items())[:10]:
        assert evaluate(session, server.url, unit, GERMAN, record=True) == variant
    assert server.terminate() == 0
    with duckdb.connect(str(data / "events.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT user_id, min(variant), count(*) FROM exposures GROUP BY user_id").fetchall()
    stored = {unit: variant for unit, variant, _ in rows}
    assert {unit: stored.get(unit) for unit in answered} == answered
    assert {times for _, _, times in rows} == {1}
