"""Opens the event engine that a URL names."""

from __future__ import annotations

from urllib.parse import urlsplit

from optimizer.errors import ConfigurationError
from optimizer.storage.events import EventStore


def open_event_store(url: str, *, duckdb_memory_mb: int = 0) -> EventStore:
    """Open the store behind a URL.

    ``duckdb:///path`` (three slashes before a relative path, four before an absolute one), or
    ``clickhouse://user:password@host:8123/database``.

    Args:
        url: As above.
        duckdb_memory_mb: Memory that DuckDB may use, in MB; 0 means 80% of the machine.

    Raises:
        ConfigurationError: The scheme is unknown, or the store cannot be opened.
    """
    scheme = urlsplit(url).scheme
    if scheme == "duckdb":
        from optimizer.storage.engines.duckdb import DuckDBEventStore  # noqa: PLC0415 - loaded when used: start-up time

        return DuckDBEventStore(url.removeprefix("duckdb:///"), memory_mb=duckdb_memory_mb)
    if scheme == "clickhouse":
        from optimizer.storage.engines.clickhouse import ClickHouseEventStore  # noqa: PLC0415 - same

        return ClickHouseEventStore(url)
    raise ConfigurationError("events_url must begin with duckdb:/// or clickhouse://.")
