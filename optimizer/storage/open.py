"""Opens the event engine that a URL names; engines are found, not listed."""

from __future__ import annotations

from urllib.parse import urlsplit

from optimizer.errors import ConfigurationError
from optimizer.storage.events import EventStore


def open_event_store(url: str) -> EventStore:
    """Open the store behind ``duckdb:///path`` (three slashes before a relative path, four before an absolute one).

    Raises:
        ConfigurationError: The scheme is unknown, or the store cannot be opened.
    """
    scheme = urlsplit(url).scheme
    if scheme != "duckdb":
        raise ConfigurationError("events_url must begin with duckdb:///.")
    from optimizer.storage.engines.duckdb import DuckDBEventStore  # noqa: PLC0415 - loaded when used: start-up time

    return DuckDBEventStore(url.removeprefix("duckdb:///"))
