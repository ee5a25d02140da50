from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from optimizer.cli.main import group
from optimizer.errors import ConflictError
from optimizer.ingest.moving import checksum, move
from optimizer.storage.events import COUNT_SCHEMA, EVENT_SCHEMA, SCHEMAS, naive_utc
from optimizer.storage.open import open_event_store
from tests.conftest import NOON

pytestmark = pytest.mark.xdist_group("clickhouse")
ROWS = 120_000


def fill(url: str) -> None:
    store = open_event_store(url)
    moment = naive_utc(NOON)
    rows: dict[str, Any] = {
        "project_id": [1 + number % 2 for number in range(ROWS)],
        "sequence": list(range(1, ROWS + 1)),
        "event_id": [f"e{number}" for number in range(ROWS)],
        "id_hash": [(number * 2654435761) % 2**62 - 2**61 for number in range(ROWS)],
        "content_hash": [-number for number in range(ROWS)],
        "value": [number / 7 if number % 3 else None for number in range(ROWS)],
    }
    same = {"name": "add_to_cart", "timestamp": moment, "received_at": moment, "unit_id": "u:é", "properties": "{}"}
    columns = {name: rows.get(name, [same.get(name)] * ROWS) for name in EVENT_SCHEMA.names}
    count = {"project_id": 1, "sequence": ROWS + 1, "system": "s", "date": NOON.date(), "name": "visit",
             "visitors": 9, "occurrences": 11, "dimensions": "{}", "experiment": "", "variant": "",
             "received_at": moment}  # fmt: skip
    store.append({
        "events": pa.table(columns, schema=EVENT_SCHEMA),
        "counts": pa.Table.from_pylist([count], schema=COUNT_SCHEMA),
    })  # fmt: skip
    store.close()


def test_a_broken_move_goes_on_and_proves_that_all_arrived(tmp_path: Path, clickhouse_url: str) -> None:
    source_url = f"duckdb:///{tmp_path / 'events.duckdb'}"
    fill(source_url)
    source, target = open_event_store(source_url), open_event_store(clickhouse_url)

    def break_off(table: str, done: int, total: int) -> None:
        if table == "events" and 0 < done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(source, target, break_off)
    source.close()
    target.close()
    command = ["move", "--data-dir", str(tmp_path), "--to", clickhouse_url]
    for copied in ("70,000", "0"):
        ran = CliRunner().invoke(group, command, catch_exceptions=False)
        assert ran.exit_code == 0
        assert f"events: 120,000 rows there, {copied} copied now; counts and checksums agree" in ran.stderr
    source, target = open_event_store(source_url), open_event_store(clickhouse_url)
    for name in SCHEMAS:
        assert checksum(source, name) == checksum(target, name)
    assert target.events(2).count().to_pyarrow().as_py() == ROWS // 2


def test_stores_that_differ_afterwards_are_named(tmp_path: Path, clickhouse_url: str) -> None:
    source_url = f"duckdb:///{tmp_path / 'events.duckdb'}"
    fill(source_url)
    source, target = open_event_store(source_url), open_event_store(clickhouse_url)
    row = source.table("events").filter(lambda t: t.sequence == 7).to_pyarrow()
    changed = row.set_column(row.schema.get_field_index("sequence"), "sequence", pa.array([ROWS + 50], pa.int64()))
    target.append({"events": changed})
    with pytest.raises(ConflictError, match="events differ"):
        move(source, target, lambda *_: None)
