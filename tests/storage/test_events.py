"""The engine suite: what every event engine must do."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from optimizer.errors import BusyError, ConfigurationError
from optimizer.ingest.collector import MAXIMUM_GROUP_ROWS
from optimizer.storage.events import COUNT_SCHEMA, EVENT_SCHEMA, as_utc, naive_utc
from optimizer.storage.open import open_event_store
from tests.conftest import NOON


def event(number: int, project_id: int = 1) -> dict[str, Any]:
    moment = naive_utc(NOON)
    return {
        "project_id": project_id,
        "sequence": number,
        "event_id": f"e{number}",
        "id_hash": number,
        "content_hash": -number,
        "name": "view",
        "timestamp": moment,
        "received_at": moment,
        "unit_id": f"u:{number % 7}",
        "properties": "{}",
    }


def events(*rows: dict[str, Any]) -> dict[str, pa.Table]:
    return {"events": pa.Table.from_pylist(list(rows), schema=EVENT_SCHEMA)}


@pytest.fixture(params=["duckdb", pytest.param("clickhouse", marks=pytest.mark.xdist_group("clickhouse"))])
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "duckdb":
        return f"duckdb:///{tmp_path / 'e.duckdb'}"
    url: str = request.getfixturevalue("clickhouse_url")
    return url


def test_rows_survive_closing_and_stay_in_their_project(engine_url: str) -> None:
    url = engine_url
    store = open_event_store(url)
    store.append(events(event(1), event(2), event(3, project_id=2)))
    store.close()
    store = open_event_store(url)
    rows = store.events(1).order_by("sequence").to_pyarrow().to_pylist()
    assert [row["event_id"] for row in rows] == ["e1", "e2"]
    assert as_utc(rows[0]["timestamp"]) == NOON
    assert "project_id" not in rows[0]
    told = {
        (table, project) for table in ("events", "links") for project in (1, 2, 3) if store.has_rows(table, project)
    }
    assert told == {("events", 1), ("events", 2)}
    ids = store.stored_ids("events")
    assert (sorted(ids.id_hashes.to_pylist()), ids.last_sequence) == ([1, 2, 3], 3)
    [found] = store.find_by_id_hash("events", [3, 99]).to_pylist()
    assert found == {"project_id": 2, "id": "e3", "id_hash": 3, "content_hash": -3}
    store.close()


def test_as_many_repeats_as_one_commit_takes_are_looked_up(engine_url: str) -> None:
    store = open_event_store(engine_url)
    store.append(events(event(1), event(2), event(3)))
    digits = 10**18  # as long as hashes are
    asked = [*range(digits, digits + MAXIMUM_GROUP_ROWS), 1, 3]
    found = store.find_by_id_hash("events", asked)
    assert sorted(row["id"] for row in found.to_pylist()) == ["e1", "e3"]
    assert store.find_by_id_hash("events", []).num_rows == 0
    store.close()


def test_a_count_with_a_stored_key_replaces_it(engine_url: str) -> None:
    store = open_event_store(engine_url)
    key = {"project_id": 1, "system": "s", "date": dt.date(2026, 11, 1), "name": "visit", "dimensions": "{}"}
    for number, visitors in enumerate((10, 12)):
        row = {**key, "experiment": "", "variant": "", "visitors": visitors, "sequence": number, "occurrences": 1}
        store.append({"counts": pa.Table.from_pylist([row], schema=COUNT_SCHEMA)})
    assert [row["visitors"] for row in store.counts(1).to_pyarrow().to_pylist()] == [12]
    store.close()


def test_a_batch_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_event_store(f"duckdb:///{tmp_path / 'e.duckdb'}")
    counts = pa.Table.from_pylist([{"project_id": 1}], schema=COUNT_SCHEMA)
    unfit = pa.table({"project_id": pa.array([1], pa.int32())})
    with pytest.raises((BusyError, ValueError)):
        store.append({"counts": counts, "events": unfit})
    store.append(events(event(1)))
    assert store.counts(1).count().to_pyarrow().as_py() == 0
    assert store.events(1).count().to_pyarrow().as_py() == 1
    store.close()


def test_a_batch_too_large_for_the_journal_keeps_its_place(tmp_path: Path) -> None:
    store = open_event_store(f"duckdb:///{tmp_path / 'e.duckdb'}")
    large = [{**event(number), "properties": "x" * 20_000} for number in range(2, 1_002)]
    store.append(events(event(1)))
    store.append(events(*large))
    store.append(events(event(1_002)))
    assert store.events(1).count().to_pyarrow().as_py() == 1_002
    assert not any("x" * 20_000 in path.read_text("latin1") for path in tmp_path.glob("*.journal"))
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["e.duckdb"]


def test_readers_in_other_threads_see_every_finished_commit(engine_url: str) -> None:
    store = open_event_store(engine_url)
    done = threading.Event()

    def read() -> list[int]:
        seen = []
        while not done.is_set():
            seen.append(int(store.events(1).count().to_pyarrow().as_py()))
        return seen

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for number in range(1, 16):
            store.append(events(event(number)))
            assert store.events(1).count().to_pyarrow().as_py() == number
        done.set()
        for reader in readers:
            assert sorted(reader.result()) == reader.result()
    store.close()


def test_a_second_process_is_told_who_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "e.duckdb"
    store = open_event_store(f"duckdb:///{path}")
    code = f"from optimizer.storage.open import open_event_store; open_event_store('duckdb:///{path}')"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "is in use by process" in refused.stderr
    assert "--url" in refused.stderr
    store.close()


def test_an_unknown_engine_and_a_broken_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="events_url"):
        open_event_store("oracle://x")
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        open_event_store(f"duckdb:///{broken}")
