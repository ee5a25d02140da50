"""What only an engine with several writers must do."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from typing import Any

import pyarrow as pa
import pytest

from optimizer.errors import BusyError, ConfigurationError
from optimizer.storage.engines._clickhouse_tables import SCHEMA_VERSION, STAMP, statements
from optimizer.storage.events import EVENT_SCHEMA, SCHEMAS, naive_utc
from optimizer.storage.open import open_event_store
from tests.conftest import NOON

pytestmark = pytest.mark.xdist_group("clickhouse")


def row(sequence: int, name: str) -> dict[str, pa.Table]:
    moment = naive_utc(NOON)
    fields: dict[str, Any] = {
        "project_id": 1, "sequence": sequence, "event_id": "same", "id_hash": 7, "content_hash": sequence,
        "name": name, "timestamp": moment, "received_at": moment, "unit_id": "u:1", "properties": "{}",
    }  # fmt: skip
    return {"events": pa.Table.from_pylist([fields], schema=EVENT_SCHEMA)}


def ask(server: str, query: str) -> str:
    with urllib.request.urlopen(f"http://{server}/", data=query.encode(), timeout=30) as answer:
        found: bytes = answer.read()
    return found.decode()


def test_of_two_writers_with_one_id_the_first_is_kept_whatever_arrives_first(clickhouse_url: str) -> None:
    one, other = open_event_store(clickhouse_url), open_event_store(clickhouse_url)
    other.append(row(2, "later"))
    one.append(row(1, "earlier"))
    one.append(row(3, "last"))
    for store in (one, other):
        assert store.events(1).select("name").to_pyarrow()["name"].to_pylist() == ["earlier"]
        store.close()


def test_a_server_that_is_gone_is_named_at_start_and_costs_nothing_later(clickhouse_url: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}"):
            open_event_store(f"clickhouse://default:secret-word@127.0.0.1:{port}/default")
        store: Any = open_event_store(clickhouse_url)
        store._address["port"] = port
        del store._local.client
        with pytest.raises(BusyError, match="send the batch again"):
            store.append(row(1, "view"))


def test_tables_of_a_newer_version_are_refused(clickhouse_url: str, clickhouse_server: str) -> None:
    open_event_store(clickhouse_url).close()
    database = clickhouse_url.rsplit("/", 1)[1]
    ask(clickhouse_server, f"INSERT INTO `{database}`.{STAMP} SELECT {SCHEMA_VERSION + 1}, now()")
    with pytest.raises(ConfigurationError, match="newer version"):
        open_event_store(clickhouse_url)


def test_tables_of_an_older_version_get_the_columns_they_lack(clickhouse_url: str, clickhouse_server: str) -> None:
    open_event_store(clickhouse_url).close()
    database = clickhouse_url.rsplit("/", 1)[1]
    ask(clickhouse_server, f"ALTER TABLE `{database}`.exposures DROP COLUMN session_id")
    store = open_event_store(clickhouse_url)
    assert store.exposures(1).select("session_id").count().to_pyarrow().as_py() == 0
    store.close()


def test_an_unknown_option_of_the_url_is_named() -> None:
    with pytest.raises(ConfigurationError, match="clutser"):
        open_event_store("clickhouse://localhost/default?clutser=a")


def test_the_ddl_for_a_cluster_is_parsed_by_the_engine(clickhouse_server: str) -> None:
    made = list(statements("events_cluster"))
    for statement in made:
        assert "ON CLUSTER `events_cluster`" in statement
        kind = "AlterQuery" if statement.startswith("ALTER") else "CreateQuery"
        assert kind in ask(clickhouse_server, f"EXPLAIN AST {statement}")
    assert sum("ReplicatedReplacingMergeTree" in statement for statement in made) == len(SCHEMAS)
    assert sum("Distributed(" in statement for statement in made) == len(SCHEMAS)
    with pytest.raises(urllib.error.HTTPError):
        ask(clickhouse_server, f"EXPLAIN AST {made[0]} NONSENSE")
