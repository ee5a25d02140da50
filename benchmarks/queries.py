"""How long do the questions take that every report asks, and how does the time grow with the events?

Three questions, asked with the service's own code: moments over units (how often, how much, Σx, Σx²), distinct units,
and an ordered funnel of four steps. At each size they are asked of the embedded event store and, written by hand as
one would for it, of SQLite with the indexes it needs, on the same events. Prints the seconds, the ratio, and how much
the time grew beside how much the events did.

Run: python -m benchmarks.queries --sizes 1000000 10000000
"""

from __future__ import annotations

import argparse
import datetime as dt
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from optimizer.insights.funnel import FunnelRequest, funnel
from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.events import EVENT_SCHEMA, EventStore
from optimizer.storage.migrate import upgrade
from optimizer.storage.open import open_event_store
from optimizer.storage.stores import Stores

STEPS = ["view_item", "add_to_cart", "begin_checkout", "purchase"]
SHARES = [0.7, 0.2, 0.07, 0.03]
EVENTS_PER_UNIT = 20
PIECE = 500_000
REPEATS = 5
PROJECT = 1
FIRST = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
SQLITE = """
CREATE TABLE events (project INTEGER, name TEXT, unit TEXT, at INTEGER, value REAL);
"""
SQLITE_INDEXES = """
CREATE INDEX by_name ON events (project, name, unit, at, value);
CREATE INDEX by_unit ON events (project, unit);
"""
MOMENTS = """
SELECT count(*), sum(n), sum(n * n), sum(v), sum(v * v) FROM (
  SELECT unit, sum(name = 'add_to_cart') AS n, sum(CASE WHEN name = 'purchase' THEN value ELSE 0 END) AS v
  FROM events WHERE project = 1 GROUP BY unit)
"""
DISTINCT = "SELECT count(DISTINCT unit) FROM events WHERE project = 1"
FUNNEL = """
WITH s0 AS (SELECT unit, min(at) AS t FROM events WHERE project = 1 AND name = 'view_item' GROUP BY unit),
s1 AS (SELECT s0.unit, min(e.at) AS t FROM s0 JOIN events e ON e.project = 1 AND e.name = 'add_to_cart'
       AND e.unit = s0.unit AND e.at >= s0.t GROUP BY s0.unit),
s2 AS (SELECT s1.unit, min(e.at) AS t FROM s1 JOIN events e ON e.project = 1 AND e.name = 'begin_checkout'
       AND e.unit = s1.unit AND e.at >= s1.t GROUP BY s1.unit),
s3 AS (SELECT s2.unit, min(e.at) AS t FROM s2 JOIN events e ON e.project = 1 AND e.name = 'purchase'
       AND e.unit = s2.unit AND e.at >= s2.t GROUP BY s2.unit)
SELECT (SELECT count(*) FROM s0), (SELECT count(*) FROM s1), (SELECT count(*) FROM s2), (SELECT count(*) FROM s3)
"""


def pieces(size: int) -> Iterator[dict[str, Any]]:
    """Make events of a shop, some hundred thousand at a time."""
    rng = np.random.default_rng(7)
    units = size // EVENTS_PER_UNIT
    for first in range(0, size, PIECE):
        rows = min(PIECE, size - first)
        names = rng.choice(len(STEPS), rows, p=SHARES)
        seconds = rng.integers(0, 60 * 86_400, rows)
        yield {
            "sequence": np.arange(first + 1, first + rows + 1),
            "name": np.array(STEPS)[names],
            "unit": np.char.add("u:", rng.integers(0, units, rows).astype(str)),
            "at": seconds,
            "value": np.where(names == len(STEPS) - 1, rng.lognormal(3, 1, rows).round(2), np.nan),
        }


def fill_store(store: EventStore, size: int) -> None:
    """Append the events as the service would have."""
    for piece in pieces(size):
        rows = len(piece["sequence"])
        start = np.datetime64(FIRST.replace(tzinfo=None), "us")
        given = {
            "project_id": np.full(rows, PROJECT, np.int32),
            "sequence": piece["sequence"],
            "event_id": np.char.add("e", piece["sequence"].astype(str)),
            "id_hash": piece["sequence"] * 2_654_435_761,
            "content_hash": piece["sequence"],
            "name": piece["name"],
            "timestamp": start + piece["at"].astype("timedelta64[s]"),
            "received_at": start + piece["at"].astype("timedelta64[s]"),
            "unit_id": piece["unit"],
            "value": pa.array(piece["value"], from_pandas=True),
            "properties": np.full(rows, "{}"),
        }
        columns = [
            pa.array(given[f.name], f.type) if f.name in given else pa.nulls(rows, f.type) for f in EVENT_SCHEMA
        ]
        store.append({"events": pa.table(columns, schema=EVENT_SCHEMA)})


def fill_sqlite(path: Path, size: int) -> sqlite3.Connection:
    """Insert the same events into SQLite, then index them."""
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SQLITE)
    for piece in pieces(size):
        values = (None if np.isnan(value) else value for value in piece["value"].tolist())
        rows = zip(piece["name"].tolist(), piece["unit"].tolist(), piece["at"].tolist(), values, strict=True)
        connection.executemany("INSERT INTO events VALUES (1, ?, ?, ?, ?)", rows)
        connection.commit()
    connection.executescript(SQLITE_INDEXES)
    return connection


def moments(store: EventStore) -> tuple[Any, ...]:
    """Ask for Σ and Σ² over units of carts and of revenue."""
    events = store.events(PROJECT)
    bought = (events.name == "purchase").ifelse(events.value, 0.0)
    per_unit = events.group_by("unit_id").agg(n=(events.name == "add_to_cart").cast("int64").sum(), v=bought.sum())
    sums = {"n1": per_unit.n.sum(), "n2": (per_unit.n * per_unit.n).sum(), "v1": per_unit.v.sum()}
    [row] = per_unit.agg(units=per_unit.count(), **sums, v2=(per_unit.v * per_unit.v).sum()).to_pyarrow().to_pylist()
    return tuple(row.values())


def distinct(store: EventStore) -> tuple[Any, ...]:
    """Ask for the number of units, exactly."""
    return (store.events(PROJECT).select("unit_id").distinct().count().to_pyarrow().as_py(),)


def asked_funnel(stores: Stores) -> tuple[Any, ...]:
    """Ask for the ordered funnel."""
    found = funnel(stores, PROJECT, FunnelRequest(steps=list(STEPS)))
    return tuple(step.units for step in found.total.steps)


def timed(ask: Callable[[], tuple[Any, ...]], repeats: int = REPEATS) -> tuple[float, tuple[Any, ...]]:
    """Return the fastest of some runs, and the answer."""
    best, answer = float("inf"), ()
    for _ in range(repeats):
        began = time.monotonic()
        answer = ask()
        best = min(best, time.monotonic() - began)
    return best, answer


def measure(folder: Path, size: int) -> dict[str, float]:
    """Measure all questions at one size; print each beside SQLite, whose answers must be the same."""
    control = ControlStore(f"sqlite:///{folder}/control-{size}.sqlite")
    upgrade(control)
    stores = Stores(
        control, open_event_store(f"duckdb:///{folder}/events-{size}.duckdb"), Cipher("a key for benchmarks only")
    )
    fill_store(stores.events, size)
    lite = fill_sqlite(folder / f"events-{size}.sqlite", size)
    questions: dict[str, tuple[Callable[[], tuple[Any, ...]], str]] = {
        "moments over units": (lambda: moments(stores.events), MOMENTS),
        "distinct units": (lambda: distinct(stores.events), DISTINCT),
        "ordered funnel": (lambda: asked_funnel(stores), FUNNEL),
    }
    seconds = {}
    for name, (ask, query) in questions.items():
        seconds[name], ours = timed(ask)
        theirs, plain = timed(lambda query=query: tuple(lite.execute(query).fetchone()), 1)  # type: ignore[misc]
        if not np.allclose(ours, plain, rtol=1e-9):
            raise SystemExit(f"{name}: {ours} here, {plain} by SQLite")
        print(
            f"{size:>11,} events  {name:<19} {seconds[name]:7.3f} s | SQLite {theirs:8.3f} s, "
            f"{theirs / seconds[name]:5.1f} x as long"
        )
    lite.close()
    stores.events.close()
    control.close()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000], help="events, rising")
    sizes = parser.parse_args().sizes
    with tempfile.TemporaryDirectory(prefix="optimizer-bench-") as made:
        found = [measure(Path(made), size) for size in sizes]
    for name, before in found[0].items():
        for size, later in zip(sizes[1:], found[1:], strict=True):
            print(f"{name:<19} grew {later[name] / before:5.1f} x from {sizes[0]:,} to {size:,} events "
                  f"({size / sizes[0]:.0f} x)")  # fmt: skip
    sys.stdout.flush()


if __name__ == "__main__":
    main()
