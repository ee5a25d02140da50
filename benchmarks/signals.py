"""How long does a whole ranking take, stability included, beside one query per event?

10 M events of 1 M simulated visitors, 20 event names and a goal, in one DuckDB file. Ours counts every event in every
stratum in one scan, fits the out-of-fold models, and sums each week, source and device up from the same counts.
Beside it, in the same run and from the same file, each event by queries of its own, as one would write it: the same
person-periods, strata and outcomes, without the models. Each contender runs in a process of its own with one memory
limit. Then ours at 1, 3 and 10 M events. Prints seconds, the ratio and peak memory; exits with 1 when the ratio is
below 5, memory reaches 1.5 GB, or time grows faster than the events by more than a quarter.

Run: python -m benchmarks.signals      (with --events 1000000 for a quick look; --queries 4 measures 4 of the 20
queries and multiplies)
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from optimizer.cli._shops import PROJECT, event_rows
from optimizer.sandbox.shop import ShopDesign, simulate_shop
from optimizer.signals.answers import SignalsRequest
from optimizer.signals.at_risk import View
from optimizer.signals.cohorts import describe_cohort, numbered_events, people, within_window
from optimizer.signals.outcomes import follow_converters
from optimizer.signals.service import BY, rank_events
from optimizer.signals.tallies import count
from optimizer.signals.worths import sum_worths
from optimizer.storage.engines.duckdb import DuckDBEventStore

DAYS, WINDOW_DAYS = 42, 30
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC) + dt.timedelta(days=DAYS + WINDOW_DAYS)
REQUEST = SignalsRequest(goal="purchase", window_days=WINDOW_DAYS)
MEMORY_MB = 700  # OPTIMIZER_DUCKDB_MEMORY_MB, for both contenders
PERIOD_HOURS = 24.0
VISITORS_AT_ONCE = 100_000
LEFT_OUT = "theme_switched"  # 20 names are ranked
KEPT_PAGE_VIEWS = 0.22  # makes ten events of each visitor
SHARES = (0.1, 0.3, 1.0)
MOST_MB, LEAST_RATIO, MOST_GROWTH = 1_500, 5.0, 1.25


def make(path: Path, events: int) -> int:
    """Write about so many events, 10 per visitor, and return how many."""
    store, rng, written = DuckDBEventStore(str(path)), np.random.default_rng(7), 0
    visitors = events // 10
    for number, start in enumerate(range(0, visitors, VISITORS_AT_ONCE)):
        some = min(VISITORS_AT_ONCE, visitors - start)
        rows = simulate_shop(ShopDesign(visitors=some, days=DAYS), number).events
        names = np.array(rows["name"].cast(pa.string()).to_pylist())
        kept = np.isin(names, ("page_view",)) & (rng.random(len(names)) < KEPT_PAGE_VIEWS)
        kept |= ~np.isin(names, ("page_view", LEFT_OUT))
        rows = rows.filter(pa.array(kept))
        ids = [f"{number}-{user}" for user in rows["user_id"].to_pylist()]
        rows = rows.set_column(rows.column_names.index("user_id"), "user_id", pa.array(ids))
        store.append({"events": event_rows(rows, written)})
        written += rows.num_rows
    store.close()
    return written


def whole(path: str) -> int:
    """Rank everything."""
    answer = rank_events(DuckDBEventStore(path, memory_mb=MEMORY_MB), PROJECT, REQUEST, {}, now=NOW)
    return len(answer.signals)


def one_by_one(path: str, queries: int) -> int:
    """Ask for each event by itself; returns how many were asked for."""
    store, window = DuckDBEventStore(path, memory_mb=MEMORY_MB), dt.timedelta(days=WINDOW_DAYS)
    cohort = describe_cohort(store, PROJECT, "purchase", window, (None, NOW - window), by=None)
    for name in cohort.events[:queries]:
        own = dataclasses.replace(cohort, events=(name,))
        # Other events stay in: they are the activity that is held alike.
        events = numbered_events(store, PROJECT, own)
        seen = within_window(events, people(events, own), own)
        count(View(PERIOD_HOURS, landmark=False).rows(seen, own), own, BY)
        follow_converters(seen, own)
        sum_worths(seen, own, None)
    return queries


def measured(what: str, path: Path, queries: int) -> tuple[float, float]:
    """Run a contender in a process of its own: seconds and peak memory in MB."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.signals",
        "--child",
        what,
        "--path",
        str(path),
        "--queries",
        str(queries),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["seconds"], found["mb"]


def child(what: str, path: str, queries: int) -> None:
    """Be a contender."""
    started = time.perf_counter()
    _ = whole(path) if what == "whole" else one_by_one(path, queries)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    print(json.dumps({"seconds": time.perf_counter() - started, "mb": used}))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=20, help="How many of the 20 single queries to measure.")
    parser.add_argument("--child", choices=["whole", "one_by_one"])
    parser.add_argument("--path")
    given = parser.parse_args()
    if given.child:
        child(given.child, given.path, given.queries)
        return 0
    results: list[tuple[int, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for share in SHARES:
            path = Path(folder) / f"{share}.duckdb"
            written = make(path, int(given.events * share))
            seconds, mb = measured("whole", path, given.queries)
            results.append((written, seconds, mb))
            print(f"whole ranking    {written:>12,} events {seconds:8.1f} s {mb:8.0f} MB", flush=True)
        apart, apart_mb = measured("one_by_one", path, given.queries)
    apart *= 20 / given.queries
    ratio, growth = apart / results[-1][1], _growth(results)
    print(
        f"one query each   {written:>12,} events {apart:8.1f} s {apart_mb:8.0f} MB ({given.queries} of 20 measured)"
    )
    print(f"ratio {ratio:.1f} (at least {LEAST_RATIO:g}), peak {results[-1][2]:.0f} MB (below {MOST_MB}), ", end="")
    print(f"time per event {growth:.2f} times that of the smallest (at most {MOST_GROWTH})")
    return int(ratio < LEAST_RATIO or results[-1][2] >= MOST_MB or growth > MOST_GROWTH)


def _growth(results: list[tuple[int, float, float]]) -> float:
    return (results[-1][1] / results[-1][0]) / (results[0][1] / results[0][0])


if __name__ == "__main__":
    sys.exit(main())
