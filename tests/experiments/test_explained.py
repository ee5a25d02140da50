"""The hot queries of experiments as engines plan them: how often they read a table, by what, and how they join."""

from __future__ import annotations

import datetime as dt
import json
import re
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest
from sqlalchemy import event

from optimizer.errors import NotFoundError
from optimizer.experiments.cohort import count_clean, count_exposed
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.design import get_experiment
from optimizer.experiments.metrics import Resolved, resolve_metrics
from optimizer.experiments.quantiles import read_quantiles
from optimizer.experiments.results import take_look
from optimizer.experiments.scan import Scan, sum_together, sum_up
from optimizer.storage.events import EVENT_SCHEMA, EXPOSURE_SCHEMA, EventStore
from optimizer.storage.open import open_event_store
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, Metric
from tests.fixtures.clickhouse import make_database

pytestmark = pytest.mark.xdist_group("clickhouse")
START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
AS_OF = START + dt.timedelta(days=20)
WEEK = 168.0
SUMS = {
    "bought": Resolved(Metric(project_id=1, key="bought", type="proportion", event="purchase")),
    "spent": Resolved(Metric(project_id=1, key="spent", type="sum", event="purchase", window_hours=WEEK)),
    "carts": Resolved(
        Metric(project_id=1, key="carts", type="count", event="add_to_cart", where={"size": 2}, window_hours=WEEK)
    ),
}
SLOW = {"slow": Resolved(Metric(project_id=1, key="slow", type="quantile", event="view", quantile=0.9, of="ms"))}
EXPERIMENT = Experiment(
    project_id=1, key="x", primary_metric="bought", secondary_metrics=["spent"], unit="user", covariate_days=7,
    variants=[{"key": "a", "weight": 1}, {"key": "b", "weight": 1}], guardrail_metrics=[], method="sequential",
    alpha=0.05, started_at=START,
)  # fmt: skip
Query = Callable[[EventStore], object]


def scan(store: EventStore) -> object:
    groups = plan_groups(SUMS, 7, None)
    since = {group.place: START.date() for group in groups}
    return sum_up(store, 1, EXPERIMENT, Scan(groups, AS_OF, since))


# What runs, and per query how often it reads the events and the exposures.
QUERIES: dict[str, tuple[Query, list[tuple[int, int]]]] = {
    "a look": (scan, [(1, 1)]),
    "who was exposed": (lambda store: count_exposed(store, 1, EXPERIMENT, until=AS_OF), [(0, 1)]),
    "units by now, at every reading": (lambda store: count_clean(store, 1, EXPERIMENT, until=AS_OF), [(0, 1)]),
    "a quantile": (lambda store: read_quantiles(store, EXPERIMENT, SLOW, as_of=AS_OF), [(1, 2), (1, 1)]),
    "for the history": (
        lambda store: sum_together(store, 1, EXPERIMENT, plan_groups(SUMS, 0, None), as_of=AS_OF), [(1, 1)],
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "explained"))
    # Two projects and years before and after: else statistics alone would answer the conditions.
    at = [(START + dt.timedelta(days=10 * (n - 100))).replace(tzinfo=None) for n in range(200)]
    at += [(START + dt.timedelta(minutes=n)).replace(tzinfo=None) for n in range(600)]
    rows = [
        {"project_id": 1 + n % 2, "content_hash": 0, "sequence": n + 1, "id_hash": n, "unit_id": f"u:{n}",
         "timestamp": moment, "received_at": moment}
        for n, moment in enumerate(at)
    ]  # fmt: skip
    events = [
        {
            **row,
            "event_id": f"e{n}",
            "name": ("view", "purchase", "add_to_cart")[n % 3],
            "properties": f'{{"ms": {n}}}',
            "bot": False,
        }
        for n, row in enumerate(rows)
    ]
    exposures = [
        {**row, "exposure_id": f"x{n}", "experiment": "x", "variant": "ab"[n // 2 % 2]} for n, row in enumerate(rows)
    ]
    made.append(
        {
            "events": pa.Table.from_pylist(events, schema=EVENT_SCHEMA),
            "exposures": pa.Table.from_pylist(exposures, schema=EXPOSURE_SCHEMA),
        }
    )
    yield made
    made.close()


@pytest.mark.parametrize("name", QUERIES)
def test_a_hot_query_reads_no_table_more_often_than_it_must(
    store: EventStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, expected = QUERIES[name]
    asked: list[ir.Table] = []
    run = ir.Table.to_pyarrow

    def watched(table: ir.Table, *given: Any, **more: Any) -> pa.Table:
        asked.append(table)
        return run(table, *given, **more)

    monkeypatch.setattr(ir.Table, "to_pyarrow", watched)
    query(store)
    found = [reads(store, table) for table in asked]
    assert [(by["events"], by["exposures"]) for by in found] == expected


def reads(store: EventStore, table: ir.Table) -> Counter[str]:
    """Count how often a query's plan reads each table; every reading must be narrowed to the project."""
    engine = store.table("events").get_backend()
    statement = engine.compile(table)
    if engine.name == "duckdb":
        [(_, shown)] = engine.raw_sql(f"EXPLAIN (FORMAT json) {statement}").fetchall()
        nodes = list(flat(json.loads(shown)))
        joins = {node["name"] for node in nodes if "JOIN" in node["name"] or "PRODUCT" in node["name"]}
        assert joins <= {"HASH_JOIN"}, joins  # none that compares every row with every other
        scans = [node["extra_info"] for node in nodes if "SCAN" in node["name"] and "Table" in node["extra_info"]]
        for one in scans:
            assert "project_id=1" in str(one["Filters"])
            assert "timestamp>" in str(one["Filters"])
        return Counter(one["Table"].rsplit(".")[-1] for one in scans)
    lines = [row[0] for row in engine.con.query(f"EXPLAIN indexes = 1 {statement}").result_rows]
    plan = "\n".join(lines)
    tables = re.findall(r"ReadFromMergeTree \(\w+\.(\w+)\)", plan)
    assert plan.count("Condition: (project_id in [1, 1])") == len(tables)
    return Counter(tables)


def flat(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from flat(node.get("children", []))


def test_a_reading_asks_the_control_plane_by_its_indexes(stores: Stores, project_id: int) -> None:
    with stores.control.session() as session:
        session.add(Experiment(**{**EXPERIMENT.model_dump(), "id": 1, "project_id": project_id}))
    asked: list[tuple[str, Any]] = []
    event.listen(stores.control.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    with stores.control.reading() as session:
        with pytest.raises(NotFoundError):
            resolve_metrics(session, project_id, ["bought"])
        experiment = get_experiment(session, project_id, "x")
    take_look(stores, experiment, SUMS, zoneinfo.ZoneInfo("UTC"), now=AS_OF)
    with stores.control.engine.connect() as connection:
        plans = [
            step[-1]
            for statement, given in asked
            if statement.startswith("SELECT")
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]
    assert {plan.split()[1] for plan in plans} >= {"metric", "experiment", "experiment_look", "finished_cohort"}
    assert [plan for plan in plans if not plan.startswith("SEARCH")] == []
