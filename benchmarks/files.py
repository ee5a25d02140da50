"""How fast do files come in and go out, and does memory stay flat?

Runs the commands as a user would, on a CSV and a Parquet file, and prints rows a second and the peak of memory at two
sizes, each beside two named alternatives in the same run:
(a) DuckDB reading the same file into a table of its own, without validation, deduplication or identity: the limit;
(b) a plain script: csv.DictReader and SQLModel into SQLite, 5 000 rows a commit: what one would write first.

Run: python -m benchmarks.files --rows 1000000
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

NAMES = np.array(["view_item", "add_to_cart", "begin_checkout", "purchase"])
SOURCES = np.array(["google", "facebook", "newsletter"])
DIRECT = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
connection.execute(f"CREATE TABLE events AS SELECT * FROM '{sys.argv[2]}'")
"""
PLAIN = """
import csv, datetime, json, sys
from sqlmodel import Field, Session, SQLModel, create_engine
class Event(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    user_id: str
    timestamp: datetime.datetime
    value: float
    properties: str
engine = create_engine(f"sqlite:///{sys.argv[1]}")
SQLModel.metadata.create_all(engine)
with Session(engine) as session, open(sys.argv[2]) as opened:
    for place, row in enumerate(csv.DictReader(opened)):
        session.add(Event(name=row["event"], user_id=row["user_id"], value=float(row["value"]),
                          timestamp=datetime.datetime.fromisoformat(row["time"] + "+00:00"),
                          properties=json.dumps({"item_id": row["item_id"], "utm_source": row["utm_source"]})))
        if place % 5_000 == 4_999:
            session.commit()
    session.commit()
"""


def make(folder: Path, rows: int) -> dict[str, Path]:
    """Write the same events as CSV and as Parquet; in a process of its own, whose memory is no later child's peak."""
    paths = {kind: folder / f"events-{rows}.{kind}" for kind in ("csv", "parquet")}
    process = multiprocessing.Process(target=_write, args=(paths, rows))
    process.start()
    process.join()
    return paths


def _write(paths: dict[str, Path], rows: int) -> None:
    rng = np.random.default_rng(1)
    start = np.datetime64("2026-10-01T00:00:00", "us")
    table = pa.table(
        {
            "event": NAMES[rng.integers(0, len(NAMES), rows)],
            "user_id": [f"u{number}" for number in rng.integers(0, rows // 10, rows)],
            "time": start + rng.integers(0, 30 * 86_400, rows).astype("timedelta64[s]"),
            "value": rng.random(rows).round(2),
            "item_id": [f"sku-{number}" for number in rng.integers(0, 1_000, rows)],
            "utm_source": SOURCES[rng.integers(0, len(SOURCES), rows)],
        }
    )
    csv.write_csv(table, paths["csv"])
    parquet.write_table(table, paths["parquet"])


def timed(*command: object) -> tuple[float, float]:
    """Run a command; return its seconds and its peak of memory in MB."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *map(str, command)], stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.monotonic() - began, used.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of the larger file; the other has a quarter"
    )
    rows = parser.parse_args().rows
    ours = ("-m", "optimizer.cli.main")
    with tempfile.TemporaryDirectory(prefix="optimizer-bench-") as made:
        folder = Path(made)
        for size in (rows // 4, rows):
            for kind, path in make(folder, size).items():
                data = folder / f"data-{kind}-{size}"
                seconds, memory = timed(*ours, "import", path, "--data-dir", data)
                limit, _ = timed("-c", DIRECT, folder / f"{kind}-{size}.duckdb", path)
                line = f"import {size:>9,} rows of {kind:<7} {size / seconds:>9,.0f} rows/s, peak {memory:,.0f} MB | "
                line += f"{limit / seconds:.0%} of (a)"
                if kind == "csv":
                    plain, _ = timed("-c", PLAIN, folder / f"{size}.sqlite", path)
                    line += f" | {plain / seconds:.1f} x (b) {size / plain:,.0f} rows/s"
                print(line)
                seconds, memory = timed(*ours, "export", folder / f"out.{kind}", "--data-dir", data)
                print(f"export {size:>9,} rows to {kind:<7} {size / seconds:>9,.0f} rows/s, peak {memory:,.0f} MB")


if __name__ == "__main__":
    main()
