"""ClickHouse, the event engine for more than one process: chosen by URL, read with the same Ibis expressions.

What changes against the embedded engine: several processes write, so rows become visible slightly out of order, and a
repeat that two processes take at the same moment is merged by the table and not reported as a duplicate. A commit to
several tables is one insert per table; when a later one fails, the request is refused and its repeat recognised.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from optimizer.errors import BusyError, ConfigurationError
from optimizer.storage.engines._clickhouse_tables import SCHEMA_VERSION, STAMP, VERSION, statements
from optimizer.storage.events import ID_COLUMN, SCHEMAS, WRITERS, EventStore, StoredIds

DEFAULT_PORT, TLS_PORT = 8123, 8443
CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
CONNECTIONS = 32
ANY = "SELECT 1 FROM {} WHERE project_id = {{project_id:Int32}} LIMIT 1"
FOUND = "SELECT project_id, id_hash, content_hash, {} AS id FROM {} WHERE id_hash IN ({})"
LARGEST = 2**63 - 1  # versions fall from here with the order of arrival
SETTINGS = {
    "final": 1,  # every read sees what the replacing merge will keep
    "join_use_nulls": 1,  # or a missing side of a join becomes 0 and ''
    "session_timezone": "UTC",
    "max_query_size": 16_000_000,  # bytes: the ids that some queries name go beyond the server's 256 KiB
    "async_insert": 0,
    "distributed_foreground_insert": 1,  # on a cluster: answered when the shard has it
    "distributed_product_mode": "global",
}


class ClickHouseEventStore(EventStore):
    """Events in a ClickHouse server or cluster.

    Args:
        url: ``clickhouse://user:password@host:8123/database``, with ``?secure=true`` for TLS and ``?cluster=name``.

    Raises:
        ConfigurationError: The server cannot be reached, refuses us, or holds the tables of a newer version.
    """

    several_writers: ClassVar[bool] = True
    overlap: ClassVar[int] = 2 * ANSWER_SECONDS * 1_000_000 * WRITERS
    unreachable: ClassVar[tuple[type[Exception], ...]] = (ClickHouseError, HTTPError, OSError)

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        asked = {name: values[-1] for name, values in parse_qs(where.query).items()}
        unknown = asked.keys() - {"secure", "cluster"}
        if unknown:
            raise ConfigurationError(f"events_url takes secure and cluster, not {', '.join(sorted(unknown))}.")
        secure = asked.get("secure", "").lower() in {"1", "true", "yes"}
        self._address: dict[str, Any] = {
            "host": where.hostname or "localhost",
            "port": where.port or (TLS_PORT if secure else DEFAULT_PORT),
            "username": unquote(where.username or "default"),
            "password": unquote(where.password or ""),
            "database": where.path.strip("/") or "default",
            "secure": secure,
        }
        self._local = threading.local()
        self._pool = httputil.get_pool_manager(maxsize=CONNECTIONS)
        self._prepare(asked.get("cluster"))

    def append(self, batches: Mapping[str, pa.Table]) -> None:
        """Insert rows; ClickHouse has synced each table's part before it answers."""
        try:
            for name, rows in batches.items():
                self._client().insert_arrow(name, _versioned(name, rows.cast(SCHEMAS[name])))
        except self.unreachable as error:
            kind = type(error).__name__
            raise BusyError(f"The event store could not commit ({kind}); send the batch again.") from None

    def stored_ids(self, table: str) -> StoredIds:
        """Read every id hash of a table."""
        stored = self.table(table)
        hashes = stored.select("id_hash").to_pyarrow()["id_hash"].combine_chunks()
        return StoredIds(hashes, int(stored.sequence.max().to_pyarrow().as_py() or 0))

    def find_by_id_hash(self, table: str, id_hashes: Sequence[int]) -> pa.Table:
        """Read the stored rows that may be meant by these hashes."""
        wanted = ",".join(map(str, id_hashes))  # Ibis would make an expression of each
        asked = FOUND.format(ID_COLUMN[table], table, wanted or "NULL")
        return self._client().query_arrow(asked, use_strings=True)

    def table(self, name: str) -> ir.Table:
        """Return a table bound to this thread's connection."""
        self._client()
        if name not in self._local.tables:
            self._local.tables[name] = self._local.backend.table(name).select(SCHEMAS[name].names)
        found: ir.Table = self._local.tables[name]
        return found

    def has_rows(self, name: str, project_id: int) -> bool:
        """Tell whether a project has any row in a table."""
        asked = {"project_id": project_id}
        return bool(self._client().query(ANY.format(name), asked, settings={"final": 0}).result_rows)

    def text_property(self, events: ir.Table, name: str) -> ir.StringValue:
        """Return a property where it is a text, else null (Ibis reads JSON by functions that ClickHouse has not)."""
        text: ir.StringValue = (_kind(events.properties, name) == "String").ifelse(
            _text(events.properties, name), ibis.null("string")
        )
        return text

    def number_property(self, events: ir.Table, name: str) -> ir.FloatingValue:
        """Return a property where it is a number, else null."""
        number: ir.FloatingValue = _is_number(events.properties, name).ifelse(
            _number(events.properties, name), ibis.null("float64")
        )
        return number

    def digest(self, text: ir.StringValue) -> ir.StringValue:
        """Return the MD5 of a text as 32 hexadecimal digits (Ibis has no rule for it here)."""
        digits: ir.StringValue = _hex(_md5(text)).lower()
        return digits

    def _has_property(self, events: ir.Table, name: str, value: str | float | bool) -> ir.BooleanValue:
        kind = _kind(events.properties, name)
        if isinstance(value, bool):
            return (kind == "Bool") & (_truth(events.properties, name) == value)
        if isinstance(value, str):
            return (kind == "String") & (_text(events.properties, name) == value)
        return _is_number(events.properties, name) & (_number(events.properties, name) == float(value))

    def close(self) -> None:
        """Let go of every connection."""
        self._pool.clear()

    def _client(self) -> Client:
        if not hasattr(self._local, "client"):
            self._local.client = clickhouse_connect.get_client(
                **self._address,
                settings=SETTINGS,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=ANSWER_SECONDS,
                pool_mgr=self._pool,
                autogenerate_session_id=False,
                query_limit=0,
            )
            self._local.backend = ibis.clickhouse.from_connection(self._local.client)
            self._local.tables = {}  # what Ibis knows of them, so that it does not ask at every read
        found: Client = self._local.client
        return found

    def _prepare(self, cluster: str | None) -> None:
        shown = f"{self._address['host']}:{self._address['port']}"
        try:
            client = self._client()
            for statement in statements(cluster):
                client.command(statement)
            stored = self._local.backend.table(STAMP).version.max().to_pyarrow().as_py() or 0
            if not stored:
                now = pa.array([dt.datetime.now(dt.UTC)], pa.timestamp("s"))
                client.insert_arrow(STAMP, pa.table({"version": pa.array([SCHEMA_VERSION], pa.uint32()), "at": now}))
        except self.unreachable as error:
            reason = str(error).split("\n", maxsplit=1)[0][:200]
            raise ConfigurationError(f"The event store at {shown} cannot be used: {reason}") from None
        if stored > SCHEMA_VERSION:
            raise ConfigurationError(
                f"The event store at {shown} was made by a newer version (schema {stored}, this one knows "
                f"{SCHEMA_VERSION}). Upgrade this process."
            )


def _is_number(properties: ir.StringValue, name: str) -> ir.BooleanValue:
    number: ir.BooleanValue = _kind(properties, name).isin(["Int64", "UInt64", "Double"])
    return number


@ibis.udf.scalar.builtin(name="JSONType")  # type: ignore[untyped-decorator]
def _kind(document: str, key: str) -> str:  # type: ignore[empty-body] # ClickHouse's own; likewise below
    """Say what kind of JSON value a key has."""


@ibis.udf.scalar.builtin(name="JSONExtractString")  # type: ignore[untyped-decorator]
def _text(document: str, key: str) -> str:  # type: ignore[empty-body]
    """Read a text."""


@ibis.udf.scalar.builtin(name="JSONExtractBool")  # type: ignore[untyped-decorator]
def _truth(document: str, key: str) -> bool:  # type: ignore[empty-body]
    """Read a truth value."""


@ibis.udf.scalar.builtin(name="JSONExtractFloat")  # type: ignore[untyped-decorator]
def _number(document: str, key: str) -> float:  # type: ignore[empty-body]
    """Read a number."""


@ibis.udf.scalar.builtin(name="MD5")  # type: ignore[untyped-decorator]
def _md5(text: str) -> str:  # type: ignore[empty-body]
    """Hash a text to 16 bytes."""


@ibis.udf.scalar.builtin(name="hex")  # type: ignore[untyped-decorator]
def _hex(text: str) -> str:  # type: ignore[empty-body]
    """Write bytes in hexadecimal."""


def _versioned(name: str, rows: pa.Table) -> pa.Table:
    # Of two rows with one id the first is kept; of two counts with one key the last.
    sequences = rows["sequence"].to_numpy()
    versions = sequences if name == "counts" else LARGEST - sequences
    return rows.append_column(VERSION, pa.array(versions.astype("uint64"), pa.uint64()))
