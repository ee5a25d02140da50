"""Where does the time of an event go between the request's body and the disk?

Takes requests of a thousand events through the service's own code, one stage after the other in one thread, and
prints the microseconds an event spends in each, its share of all, and in the end all of it beside
(a) appending the finished batches to DuckDB directly: the limit of the embedded store.

Run: python -m benchmarks.stages --requests 200 --stored 10000000
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.ingest import body, directly
from optimizer.cli._bulk import suit_batches
from optimizer.ingest.catalog_views import CatalogView, KnownName
from optimizer.ingest.decode import ItemDecoder
from optimizer.ingest.dedup import Deduplicator
from optimizer.ingest.event import Event
from optimizer.ingest.prepare import Prepared, Preparer
from optimizer.ingest.rows import Rows, numbered
from optimizer.storage.engines.duckdb import DuckDBEventStore

SIZE = 1_000
GROUP = 8  # requests that one commit takes


class Stages:
    """One pass through ingest, a clock at each door.

    Args:
        path: The event store's file.
        stored: How many ids are remembered from before.
    """

    def __init__(self, path: Path, stored: int) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.batch: pa.Table | None = None
        self._store = DuckDBEventStore(str(path))
        self._dedup = Deduplicator(self._store, "events")
        self._dedup.remember(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, stored).tolist())
        self._decoder = ItemDecoder(Event)
        self._preparer = Preparer(
            catalog=CatalogView(project_id=1, names={"add_to_cart": KnownName("add_to_cart", catalogued=True)}),
            received_at=dt.datetime.now(dt.UTC),
            cookieless_unit=lambda _ip, _agent: "",
            is_linked=lambda _unit: False,
        )

    def request(self, sent: bytes) -> Rows:
        """Read one request: what its own thread does."""
        began = time.perf_counter()
        envelope = msgspec.json.decode(sent, type=dict[str, msgspec.Raw])
        items = msgspec.json.decode(envelope["events"], type=list[msgspec.Raw])
        began = self._lap("find in the body", began)
        prepared = Prepared()
        decoded = self._decoder.decode(items, prepared.rejected, prepared.warnings)
        began = self._lap("decode", began)
        self._preparer.add_events(decoded, prepared)
        self._lap("judge and lay out", began)
        return prepared.events

    def commit(self, parts: list[Rows]) -> None:
        """Store a group of requests: what the writer does."""
        began = time.perf_counter()
        rows = Rows.joined(parts)
        rows.twins(self._dedup.stored(self._dedup.suspects(rows.id_hashes)))
        began = self._lap("look for duplicates", began)
        self.batch = numbered("events", rows.columns(), range(len(rows)))
        began = self._lap("convert to Arrow", began)
        self._store.append({"events": self.batch})
        began = self._lap("insert and commit", began)
        self._dedup.remember(rows.id_hashes)
        self._lap("look for duplicates", began)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _lap(self, stage: str, began: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] += now - began
        return now


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400, help="of a thousand events each")
    parser.add_argument("--stored", type=int, default=1_000_000, help="ids remembered from before")
    given = parser.parse_args()
    suit_batches()
    with tempfile.TemporaryDirectory(prefix="optimizer-bench-") as made:
        stages = Stages(Path(made) / "events.duckdb", given.stored)
        groups = max(1, given.requests // GROUP)
        for _ in range(groups):
            stages.commit([stages.request(body(SIZE)) for _ in range(GROUP)])
        stages.close()
        limit = directly(Path(made), stages.batch, 5.0) if stages.batch is not None else float("nan")
    events = groups * GROUP * SIZE
    total = sum(stages.seconds.values())
    for stage, seconds in stages.seconds.items():
        print(f"{stage:<20} {seconds / events * 1e6:6.2f} us an event {seconds / total:5.0%}")
    rate = events / total
    print(f"{'all, in one thread':<20} {total / events * 1e6:6.2f} us an event: {rate:,.0f}/s, "
          f"{rate / limit:.0%} of (a) {limit:,.0f}/s with DuckDB {duckdb.__version__}")  # fmt: skip


if __name__ == "__main__":
    main()
