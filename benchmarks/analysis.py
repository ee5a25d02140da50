"""How long does an experiment's whole result take, from events to decision?

10 M events, 500 k exposed units, 2 variants, 10 metrics (proportions, counts, sums, ratios) with a 7-day window, each
adjusted by the 14 days before exposure. Beside it, in the same run and from the same DuckDB file: tea-tasting with
the same metrics and covariates over the per-unit table that one would write for it in Ibis. Ours also checks the
health of the data, draws the series by day and decides. Prints also what a quantile costs beside, which is no sum and
is read by queries of its own at every look. Prints the seconds (best of several rounds, each contender in
processes of its own), the ratio, peak memory, how often events were scanned, and what later reads cost: the same look
again, the next day's (days that became mature or were not finished are summed anew), the first look at which every
day is finished, and one after it. Exits with 1 when the ratio is above 1, memory reaches 1 GB, events were scanned
twice, or a read that has nothing new to sum costs 10% or more.

Run: python -m benchmarks.analysis        (or with --events 1000000 --units 50000 for a quick look)
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import tea_tasting as tt
from sqlmodel import delete, select

from optimizer.experiments import finished
from optimizer.experiments.metrics import Resolved
from optimizer.experiments.quantiles import read_quantiles
from optimizer.experiments.results import read_result
from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.engines.duckdb import DuckDBEventStore
from optimizer.storage.events import EVENT_SCHEMA, EXPOSURE_SCHEMA, naive_utc
from optimizer.storage.migrate import upgrade
from optimizer.storage.stores import Stores
from optimizer.storage.tables import (
    EventDefinition,
    Experiment,
    ExperimentLook,
    FinishedCohort,
    Metric,
    Project,
)

START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
EXPOSED_DAYS, WINDOW_DAYS, BEFORE_DAYS = 28, 7, 14
FIRST_LOOK = START + dt.timedelta(days=EXPOSED_DAYS + WINDOW_DAYS)
LATER = {
    "again": FIRST_LOOK + dt.timedelta(hours=1),
    "next day": FIRST_LOOK + dt.timedelta(days=1),
    "all finished": FIRST_LOOK + dt.timedelta(days=4),
    "one day later": FIRST_LOOK + dt.timedelta(days=5),
}
QUANTILES = {
    "a quantile of a value": {"event": "add_to_cart", "quantile": 0.9, "of": "value"},
    "a quantile of a property": {"event": "add_to_cart", "quantile": 0.9, "of": "load_ms"},
}
MEMORY_MB = 512  # OPTIMIZER_DUCKDB_MEMORY_MB, for both contenders
NAMES = ["view_item", "page_view", "search", "add_to_cart", "video_start", "begin_checkout", "purchase"]
SHARES = [0.34, 0.2, 0.18, 0.14, 0.06, 0.05, 0.03]
METRICS: dict[str, dict[str, Any]] = {
    "carted": {"type": "proportion", "event": "add_to_cart"},
    "bought": {"type": "proportion", "event": "purchase"},
    "searched": {"type": "proportion", "event": "search"},
    "watched": {"type": "proportion", "event": "video_start"},
    "views": {"type": "count", "event": "view_item"},
    "carts": {"type": "count", "event": "add_to_cart"},
    "revenue": {"type": "sum", "event": "purchase"},
    "cart_value": {"type": "sum", "event": "add_to_cart"},
    "carts_per_view": {"type": "ratio", "event": "add_to_cart", "numerator": "count", "denominator": "view_item"},
    "order_value": {"type": "ratio", "event": "purchase", "numerator": "sum", "denominator": "purchase"},
}
PIECE = 500_000
GIGABYTE_MB = 1_000
MOST_OF_FIRST = 0.1


def fill(store: DuckDBEventStore, events: int, units: int) -> None:
    """Append exposures, and events in the order of their time, as a service would have taken them."""
    rng = np.random.default_rng(17)
    start = np.datetime64(naive_utc(START), "us")
    number = np.arange(units)
    at = start + rng.integers(0, EXPOSED_DAYS * 86_400 * 10**6, units).astype("timedelta64[us]")
    exposures = {
        "experiment": np.full(units, "big"),
        "variant": np.array(["control", "treatment"])[rng.integers(0, 2, units)],
        "exposure_id": np.char.add("x", number.astype(str)),
    }
    store.append({"exposures": rows_of(EXPOSURE_SCHEMA, number, at, exposures)})
    seconds = (EXPOSED_DAYS + WINDOW_DAYS + BEFORE_DAYS) * 86_400 * 10**6
    first = start - np.timedelta64(BEFORE_DAYS, "D")
    for piece in range(0, events, PIECE):
        count = min(PIECE, events - piece)
        span = seconds * PIECE // events
        offset = np.sort(rng.integers(0, max(1, span * count // PIECE), count)) + seconds * piece // events
        # A tenth of the people are not in the experiment; some do far more than others.
        who = (units * 1.1 * rng.random(count) ** 1.5).astype(np.int64)
        names = rng.choice(len(NAMES), count, p=SHARES)
        own = {
            "event_id": np.char.add("e", np.arange(piece, piece + count).astype(str)),
            "name": np.array(NAMES)[names],
            "value": rng.lognormal(3, 1, count).round(2),
            "properties": np.char.add(np.char.add('{"load_ms":', rng.integers(50, 5_000, count).astype(str)), "}"),
        }
        store.append({"events": rows_of(EVENT_SCHEMA, who, first + offset.astype("timedelta64[us]"), own)})


def rows_of(schema: pa.Schema, who: np.ndarray, at: np.ndarray, own: dict[str, Any]) -> pa.Table:
    """Lay rows out in a table's schema."""
    text = who.astype(str)
    given = {
        "project_id": np.ones(len(who), np.int32), "sequence": np.arange(1, len(who) + 1),
        "id_hash": np.arange(len(who)), "content_hash": np.arange(len(who)), "timestamp": at, "received_at": at,
        "unit_id": np.char.add("u:", text), "user_id": text, **own,
    }  # fmt: skip
    columns = [pa.array(given[f.name], f.type) if f.name in given else pa.nulls(len(who), f.type) for f in schema]
    return pa.table(columns, schema=schema)


def ours(folder: Path, rounds: int) -> dict[str, Any]:
    """Read the first result several times from nothing, then what is read later."""
    stores = open_stores(folder)
    counted = count_scans()
    begin(stores)
    seconds: dict[str, list[float]] = {"first": [], **{name: [] for name in LATER}}
    scans = []
    for _ in range(rounds):
        with stores.control.session() as session:
            for table in (ExperimentLook, FinishedCohort):
                session.exec(delete(table))
        change(stores, "fixed")
        counted.clear()
        look, taken = timed(lambda: read_result(stores, 1, "big", now=FIRST_LOOK))
        seconds["first"].append(taken)
        scans.append(len(counted))
        change(stores, "sequential")  # a fixed test would keep its verdict, and there would be nothing to time
        for name, now in LATER.items():
            seconds[name].append(timed(lambda now=now: read_result(stores, 1, "big", now=now))[1])
    shown = {one.metric: one.comparisons[0] for one in look.metrics}
    effects = {key: [shown[key].absolute, shown[key].p_value] for key in METRICS}
    best = {name: min(all_) for name, all_ in seconds.items()}
    return {**best, **quantiles(stores, rounds), "scans": max(scans), "effects": effects}


def quantiles(stores: Stores, rounds: int) -> dict[str, float]:
    """Read quantiles beside; return the fastest of several rounds."""
    with stores.control.reading() as session:
        experiment = session.exec(select(Experiment)).one()
    found = {}
    for name, body in QUANTILES.items():
        metric = Metric(project_id=1, key=name, type="quantile", window_hours=WINDOW_DAYS * 24, **body)  # type: ignore[arg-type]
        asked = {name: Resolved(metric, None)}
        read = partial(read_quantiles, stores.events, experiment, asked, as_of=FIRST_LOOK)
        found[name] = min(timed(read)[1] for _ in range(rounds))
    return found


def begin(stores: Stores) -> None:
    """Store the metrics and the running experiment."""
    with stores.control.session() as session:
        session.add(EventDefinition(project_id=1, name="view_item"))
        session.add(EventDefinition(project_id=1, name="purchase"))
        for key, body in METRICS.items():
            session.add(Metric(project_id=1, key=key, window_hours=WINDOW_DAYS * 24, **body))
        variants = [{"key": key, "weight": 1} for key in ("control", "treatment")]
        keys = list(METRICS)
        experiment = Experiment(
            project_id=1, key="big", primary_metric=keys[0], secondary_metrics=keys[1:], variants=variants,
            started_at=START, status="running", covariate_days=BEFORE_DAYS, planned_visitors=1,
        )  # fmt: skip
        session.add(experiment)


def change(stores: Stores, method: str) -> None:
    """Give the experiment another method."""
    with stores.control.session() as session:
        session.exec(select(Experiment)).one().method = method


def theirs(folder: Path, rounds: int) -> dict[str, Any]:
    """Analyse the per-unit table with tea-tasting."""
    store = DuckDBEventStore(str(folder / "events.duckdb"), memory_mb=MEMORY_MB)
    metrics: dict[str, Any] = {"split": tt.SampleRatio()}
    for key, body in METRICS.items():
        if body["type"] == "ratio":
            metrics[key] = tt.RatioOfMeans(key, f"{key}_below", f"{key}_before", f"{key}_below_before")
        else:
            metrics[key] = tt.Mean(key, f"{key}_before")
    experiment = tt.Experiment(metrics)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        result = experiment.analyze(per_unit(store))
        seconds.append(time.perf_counter() - began)
    found = {key: result[key] for key in METRICS}
    effects = {key: [one.treatment - one.control, one.pvalue] for key, one in found.items()}
    return {"first": min(seconds), "effects": effects}


def per_unit(store: DuckDBEventStore) -> ir.Table:
    """Return one row a unit with every metric and its covariate, as one would write it in Ibis."""
    shown = store.table("exposures")
    shown = shown.filter(shown.project_id == 1, shown.experiment == "big")
    people = shown.group_by("unit_id").agg(
        variant=shown.variant.min(), last=shown.variant.max(), start=shown.timestamp.min()
    )
    people = people.filter(people.variant == people.last).drop("last")
    events = store.table("events")
    wanted = {body["event"] for body in METRICS.values()} | {"view_item"}
    events = events.filter(events.project_id == 1, events.name.isin(sorted(wanted)))
    events = events.select("name", "value", who=events.unit_id, at=events.timestamp)
    seen = people.left_join(events, people.unit_id == events.who)
    week, before = ibis.interval(days=WINDOW_DAYS), ibis.interval(days=BEFORE_DAYS)
    spans = {
        "": (seen["at"] >= seen.start) & (seen["at"] <= seen.start + week),
        "_before": (seen["at"] < seen.start) & (seen["at"] >= seen.start - before),
    }
    numbers: dict[str, ir.Value] = {}
    for key, body in METRICS.items():
        for suffix, span in spans.items():
            when = span & (seen.name == body["event"])
            counted = seen.count(where=when)
            kind = body.get("numerator", body["type"])
            numbers[f"{key}{suffix}"] = {
                "proportion": (counted > 0).cast("int64"),
                "count": counted,
                "sum": seen.value.sum(where=when).fill_null(0.0),
            }[kind]
            if body["type"] == "ratio":
                numbers[f"{key}_below{suffix}"] = seen.count(where=span & (seen.name == body["denominator"]))
    return seen.group_by("unit_id", "variant").agg(**numbers)


def open_stores(folder: Path) -> Stores:
    """Open the events, beside an empty control plane."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "control.sqlite"
    control = ControlStore(f"sqlite:///{path}")
    upgrade(control)
    with control.session() as session:
        session.add(Project(key="default", name="default"))
    events = DuckDBEventStore(str(folder / "events.duckdb"), memory_mb=MEMORY_MB)
    return Stores(control, events, Cipher("a benchmark's secret"))


def count_scans() -> list[None]:
    """Count how often events are summed up."""
    seen: list[None] = []
    inner = finished.sum_up

    def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes on whatever it gets
        seen.append(None)
        return inner(*args, **kwargs)

    finished.sum_up = counted
    return seen


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call answers, and its seconds."""
    began = time.perf_counter()
    found = what()
    return found, time.perf_counter() - began


def apart(contender: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Run a contender in a process of its own; its answer carries its peak memory in MB."""
    command = [sys.executable, "-m", "benchmarks.analysis", "--only", contender, "--folder", str(folder)]
    run = subprocess.run([*command, "--rounds", str(rounds)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def judge(own: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[str]:
    """Print the figures; return what is not as it must be."""
    mine, yours = (min(one["first"] for one in runs) for runs in (own, other))
    later = {name: min(one[name] for one in own) for name in LATER}
    beside = {name: min(one[name] for one in own) for name in QUANTILES}
    memory, their_memory = (max(one["memory"] for one in runs) for runs in (own, other))
    lines = [
        f"{'tea-tasting':34} {yours:8.2f} s   {their_memory:6.0f} MB peak",
        f"{'optimizer, first look':34} {mine:8.2f} s   {memory:6.0f} MB peak   ratio {mine / yours:.2f}",
        f"{'optimizer, scans of the events':34} {own[0]['scans']:8d}",
        *(
            f"{'optimizer, ' + name:34} {spent:8.3f} s   {spent / mine:.1%} of the first"
            for name, spent in {**later, **beside}.items()
        ),
        f"{'metric':16} {'effect, ours':>13} {'theirs':>13} {'p, ours':>9} {'theirs':>9}",
    ]
    for key, (effect, p) in own[0]["effects"].items():
        their_effect, their_p = other[0]["effects"][key]
        lines.append(f"{key:16} {effect:13.6f} {their_effect:13.6f} {p:9.4f} {their_p:9.4f}")
    sys.stdout.write("\n".join(lines) + "\n")
    faults = [
        (mine > yours, f"slower than tea-tasting: {mine / yours:.2f}"),
        (memory >= GIGABYTE_MB, f"peak memory of {memory:.0f} MB"),
        *(
            (later[name] >= MOST_OF_FIRST * mine, f"a read {name} costs {later[name] / mine:.1%} of the first")
            for name in ("again", "one day later")
        ),
        (any(one["scans"] != 1 for one in own), "more than one scan of the events"),
    ]
    return [said for wrong, said in faults if wrong]


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--units", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["ours", "theirs"])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.only:
        found = (ours if given.only == "ours" else theirs)(given.folder, given.rounds)
        [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        memory = int(peak.split()[1]) / 1_000  # not ru_maxrss: a child's begins with its parent's
        sys.stdout.write(json.dumps({**found, "memory": memory}) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="optimizer-bench-") as name:
        folder = given.folder or Path(name)
        if not (folder / "events.duckdb").exists():
            store = DuckDBEventStore(str(folder / "events.duckdb"), memory_mb=MEMORY_MB)
            fill(store, given.events, given.units)
            store.close()
        sys.stdout.write(
            f"{given.events:,} events, {given.units:,} exposed units, 2 variants, 10 metrics with CUPED\n"
        )
        runs = [(apart("theirs", folder, given.rounds), apart("ours", folder, given.rounds)) for _ in range(2)]
    faults = judge([mine for _, mine in runs], [yours for yours, _ in runs])
    for fault in faults:
        sys.stdout.write(f"not as it must be: {fault}\n")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
