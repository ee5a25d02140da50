"""Puts a simulated shop into an event store of its own, without the detour over HTTP."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optimizer.sandbox.shop import Shop
from optimizer.storage.engines.duckdb import DuckDBEventStore
from optimizer.storage.events import EVENT_SCHEMA

PROJECT = 1
ROWS_AT_ONCE = 1_000_000


def stored_shop(shop: Shop, path: str = ":memory:") -> DuckDBEventStore:
    """Store a shop's events as project 1.

    Args:
        shop: What happened there.
        path: Of the DuckDB file.
    """
    store = DuckDBEventStore(path)
    for start in range(0, shop.events.num_rows, ROWS_AT_ONCE):
        store.append({"events": event_rows(shop.events.slice(start, ROWS_AT_ONCE), start)})
    return store


def event_rows(events: pa.Table, first: int = 0) -> pa.Table:
    """Lay a shop's events out as the event store keeps them.

    Args:
        events: From `simulate_shop`.
        first: Number of the first row.
    """
    count = events.num_rows
    numbers = pa.array(np.arange(first, first + count))
    unit = pc.binary_join_element_wise("u:", pc.cast(events["user_id"], pa.string()), "")
    known = {
        "project_id": pa.array(np.full(count, PROJECT), pa.int32()),
        "sequence": numbers,
        "event_id": pc.cast(numbers, pa.string()),
        "id_hash": numbers,
        "content_hash": pa.array(np.zeros(count, np.int64)),
        "received_at": events["timestamp"],
        "unit_id": pc.if_else(events["consent_analytics"], unit, ""),
        "bot": events["robot"],
        "properties": pa.array(["{}"] * count),
        **{name: events[name] for name in events.column_names if name in EVENT_SCHEMA.names},
    }
    columns = [known.get(field.name, pa.nulls(count, field.type)) for field in EVENT_SCHEMA]
    return pa.table(dict(zip(EVENT_SCHEMA.names, columns, strict=True))).cast(EVENT_SCHEMA)
