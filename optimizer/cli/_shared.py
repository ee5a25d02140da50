"""What commands for several processes share."""

from __future__ import annotations

from optimizer.errors import ConfigurationError
from optimizer.settings import Settings


def refuse_embedded(settings: Settings, command: str) -> None:
    """Refuse to start a process beside others on an event store that belongs to one process.

    Raises:
        ConfigurationError: The events are in DuckDB.
    """
    if settings.event_store_url.startswith("duckdb"):
        raise ConfigurationError(
            f"The embedded event store belongs to one process, so `optimizer {command}` cannot share it. "
            "Use `optimizer serve`, or set OPTIMIZER_EVENTS_URL=clickhouse://… (docs/scale-out.md)."
        )
