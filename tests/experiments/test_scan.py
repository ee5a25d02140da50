"""The sums of one scan against a loop over every event, on every engine."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from optimizer.core.stats import quantiles
from optimizer.core.stats.quantiles import clustered_quantile, quantile_row
from optimizer.experiments.columns import Column, Group, plan_groups
from optimizer.experiments.metrics import Resolved
from optimizer.experiments.quantiles import read_quantiles
from optimizer.experiments.scan import Scan, sum_together, sum_up
from optimizer.storage.events import EVENT_SCHEMA, EXPOSURE_SCHEMA, EventStore
from optimizer.storage.open import open_event_store
from optimizer.storage.tables import Experiment, Metric
from tests.fixtures.clickhouse import make_database

pytestmark = pytest.mark.xdist_group("clickhouse")
START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
AS_OF = START + dt.timedelta(days=20)
NAMES = ("view_item", "add_to_cart", "purchase")
Rows = list[dict[str, Any]]


def metric(key: str, kind: str, event: str, **more: Any) -> Metric:
    return Metric(project_id=1, key=key, type=kind, event=event, **more)


METRICS = {
    "bought": Resolved(metric("bought", "proportion", "purchase")),
    "carts": Resolved(metric("carts", "count", "add_to_cart", window_hours=72, cap={"value": 3})),
    "wide": Resolved(metric("wide", "sum", "purchase", window_hours=72, where={"channel": "web", "size": 2})),
    "tamed": Resolved(metric("tamed", "sum", "purchase", window_hours=72, cap={"percentile": 0.9})),
    "per view": Resolved(
        metric("per view", "ratio", "purchase", numerator="sum", denominator="view_item", window_hours=30.5),
        metric("view_item", "count", "view_item"),
    ),
}


def experiment(**more: Any) -> Experiment:
    variants = [{"key": key, "weight": 1} for key in ("a", "b", "nobody")]
    return Experiment(
        project_id=1, key="x", primary_metric="bought", unit="user", variants=variants, started_at=START,
        stopped_at=START + dt.timedelta(days=15), covariate_days=7, **more,
    )  # fmt: skip


def shop() -> tuple[Rows, Rows]:
    drawn = random.Random(3)  # noqa: S311 - sample data
    events, exposures = [], []
    for number in range(160):
        first = START + dt.timedelta(seconds=drawn.randrange(-86_400, 16 * 86_400))
        for variant in drawn.choice(["a", "b", "b", "ab"]) if number < 20 else drawn.choice("ab"):
            at = first + dt.timedelta(hours=drawn.choice([0, 1]))
            exposures.append({"experiment": "x", "variant": variant, "unit_id": f"u:{number}", "timestamp": at})
        for _ in range(drawn.randrange(12)):
            at = first + dt.timedelta(seconds=drawn.choice([0, 3600, -5, drawn.randrange(-9 * 86_400, 9 * 86_400)]))
            events.append({
                "unit_id": f"u:{number}", "name": drawn.choice(NAMES), "timestamp": at,
                "value": drawn.choice([None, round(drawn.expovariate(0.02), 2)]),
                "properties": drawn.choice(['{"channel": "web", "size": 2}', '{"channel": "web"}', "{}"]),
            })  # fmt: skip
    return events, exposures


EVENTS = shop()[0]


def table(rows: Rows, schema: pa.Schema, own_id: str) -> pa.Table:
    filled = [
        {"project_id": 1, "sequence": place, own_id: f"i{place}", "id_hash": place, "content_hash": 0, "bot": False,
         "received_at": AS_OF, **row}
        for place, row in enumerate(rows, 1)
    ]  # fmt: skip
    naive = [
        {name: value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value for name, value in row.items()}
        for row in filled
    ]
    return pa.Table.from_pylist(naive, schema=schema)


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "scan"))
    events, exposures = shop()
    made.append(
        {
            "events": table(events, EVENT_SCHEMA, "event_id"),
            "exposures": table(exposures, EXPOSURE_SCHEMA, "exposure_id"),
        }
    )
    yield made
    made.close()


def members() -> dict[str, tuple[str, dt.datetime]]:
    """Return unit → variant and first exposure, of units seen in one variant between start and stop."""
    found: dict[str, list[tuple[dt.datetime, str]]] = {}
    for row in shop()[1]:
        if START <= row["timestamp"] < START + dt.timedelta(days=15):
            found.setdefault(row["unit_id"], []).append((row["timestamp"], row["variant"]))
    return {unit: (seen[0][1], min(seen)[0]) for unit, seen in found.items() if len({v for _, v in seen}) == 1}


def number(column: Column, unit: str, first: dt.datetime, until: dt.datetime) -> float:
    wanted = '{"channel": "web", "size": 2}'
    week = dt.timedelta(days=7)
    rows = [
        row for row in EVENTS
        if row["unit_id"] == unit and row["name"] == column.event
        and (first - week <= row["timestamp"] < first if column.before else first <= row["timestamp"] <= until)
        and (not column.where or row["properties"] == wanted)
    ]  # fmt: skip
    if column.kind == "sum":
        return sum(row["value"] or 0.0 for row in rows)
    return float(len(rows) if column.kind == "count" else min(1, len(rows)))


def by_hand(group: Group) -> dict[dt.date, dict[str, list[list[float]]]]:
    """Return day → variant → one row of numbers a mature unit."""
    window = None if group.window_hours is None else dt.timedelta(hours=group.window_hours)
    mature = [
        (unit, variant, first)
        for unit, (variant, first) in members().items()
        if window is None or first + window <= AS_OF
    ]
    rows = [
        [number(column, unit, first, first + window if window else START + dt.timedelta(days=15))
         for column in group.columns]
        for unit, _, first in mature
    ]  # fmt: skip
    numbers = np.array(rows)
    for place, column in enumerate(group.columns):
        if column.cap and "value" in column.cap:
            numbers[:, place] = np.minimum(numbers[:, place], column.cap["value"])
        elif column.cap:
            limit = np.quantile(numbers[:, place], column.cap["percentile"], method="inverted_cdf")
            numbers[:, place] = np.minimum(numbers[:, place], limit)
    found: dict[dt.date, dict[str, list[list[float]]]] = {}
    names = {column.event for column in group.columns} | set(NAMES)
    for (unit, variant, first), own in zip(mature, numbers.tolist(), strict=True):
        named = dict(zip((column.name for column in group.columns), own, strict=True))
        has_value = [float(named[of] > 0) for of in group.converters.values()]
        week = first - dt.timedelta(days=7)
        known = any(
            row["unit_id"] == unit and row["name"] in names and week <= row["timestamp"] < first for row in EVENTS
        )
        found.setdefault(first.date(), {}).setdefault(variant, []).append([*own, *has_value, float(known)])
    return found


def test_a_scan_gives_the_sums_of_a_loop_over_every_event(store: EventStore) -> None:
    groups = plan_groups(METRICS, 7, "bought")
    assert [group.mergeable for group in groups] == [False, True, False, True]
    scan = Scan(groups, AS_OF, {group.place: dt.date(2026, 1, 1) for group in groups})
    found = sum_up(store, 1, experiment(), scan)
    for group in groups:
        expected = by_hand(group)
        assert list(found[group.place]) == sorted(expected)
        for day, row in found[group.place].items():
            for place, arm in enumerate(("a", "b", "nobody")):
                units = np.array(expected[day].get(arm, [])).reshape(-1, len(group.names))
                assert row.n[place] == len(units)
                np.testing.assert_allclose(row.totals[place], units.sum(0), rtol=1e-9, atol=1e-9)
                known = ~np.isnan(row.products[place])
                np.testing.assert_allclose(row.products[place][known], (units.T @ units)[known], rtol=1e-9, atol=1e-9)
        wanted = [*itertools.product(group.names[:1], repeat=2), *group.pairs]
        for one, other in wanted:
            assert not math.isnan(row.products[0, row.place(one), row.place(other)])


def test_days_before_since_are_left_out_and_a_dimension_takes_the_place_of_days(store: EventStore) -> None:
    groups = plan_groups({"bought": METRICS["bought"]}, 0, None)
    late = sum_up(store, 1, experiment(), Scan(groups, AS_OF, {0: dt.date(2026, 6, 9)}))[0]
    assert min(late) == dt.date(2026, 6, 9)
    events = store.events(1)
    split = events.group_by(unit=events.unit_id).agg(split=events.name.min())
    found = sum_up(store, 1, experiment(), Scan(groups, AS_OF, {0: dt.date(2026, 1, 1)}, split))[0]
    assert set(found) <= {"", *NAMES}
    assert sum(row.n.sum() for row in found.values()) == len(members())


def test_all_metrics_are_summed_together_over_the_same_units_whatever_their_windows(store: EventStore) -> None:
    plain = {key: found for key, found in METRICS.items() if found.metric.type != "ratio"}
    groups = plan_groups(plain, 0, None)
    assert len(groups) == 3
    row = sum_together(store, 1, experiment(), groups, as_of=AS_OF)
    columns = {key: by_column(group, group.measures[key].value) for group in groups for key in group.measures}
    assert set(row.columns) == set(columns)
    for place, arm in enumerate(("a", "b", "nobody")):
        units = np.array([columns[key].get(arm, []) for key in row.columns]).reshape(len(row.columns), -1)
        assert row.n[place] == units.shape[1]
        np.testing.assert_allclose(row.totals[place], units.sum(1), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(row.products[place], units @ units.T, rtol=1e-9, atol=1e-9)


def by_column(group: Group, name: str) -> dict[str, list[float]]:
    """Return variant → one number a unit, in the order of members."""
    days = by_hand(group)
    place = group.names.index(name)
    found: dict[str, list[float]] = {}
    for by_arm in days.values():
        for arm, rows in by_arm.items():
            found.setdefault(arm, []).extend(one[place] for one in rows)
    return found


@pytest.mark.parametrize(
    ("event", "level", "more"),
    [
        ("purchase", 0.5, {}),
        ("add_to_cart", 0.8, {"window_hours": 72}),
        ("view_item", 0.99, {"where": {"channel": "web", "size": 2}}),
        ("view_item", 0.3, {"of": "size"}),
    ],
)
def test_a_quantile_is_that_of_every_occurrence_in_memory(
    store: EventStore, event: str, level: float, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiles, "FEWEST_UNITS", 10)  # this shop is small
    wanted = Resolved(metric("q", "quantile", event, quantile=level, **more))
    [row] = read_quantiles(store, experiment(), {"q": wanted, "bought": METRICS["bought"]}, as_of=AS_OF)["q"].values()
    arms = {}
    for arm in ("a", "b", "nobody"):
        units = [unit for unit in mature(more.get("window_hours")) if members()[unit][0] == arm]
        seen = [(value, unit) for unit in units for value in occurrences(unit, event, more)]
        values, whose = [value for value, _ in seen], [unit for _, unit in seen]
        arms[arm] = (len(units), clustered_quantile(values, whose, level) if seen else None)
    expected = quantile_row(arms)
    assert arms["a"][1] is not None
    assert (arms["a"][1].standard_error is None) == (level == 0.99)
    for name in ("n", "totals", "products"):
        np.testing.assert_allclose(getattr(row, name), getattr(expected, name), rtol=1e-12)


def test_quantiles_are_split_by_a_dimension(store: EventStore) -> None:
    wanted = {"q": Resolved(metric("q", "quantile", "purchase", quantile=0.5))}
    events = store.events(1)
    split = events.group_by(unit=events.unit_id).agg(split=events.name.min())
    found = read_quantiles(store, experiment(), wanted, as_of=AS_OF, split=split)["q"]
    whole = read_quantiles(store, experiment(), wanted, as_of=AS_OF)["q"][""]
    assert set(found) <= {"", *NAMES}
    np.testing.assert_allclose(sum(row.n for row in found.values()), whole.n)
    occurred = whole.columns.index("observations")
    np.testing.assert_allclose(sum(row.totals[:, occurred] for row in found.values()), whole.totals[:, occurred])


def mature(window_hours: float | None) -> list[str]:
    window = dt.timedelta(hours=window_hours or 0)
    return [unit for unit, (_, first) in members().items() if not window or first + window <= AS_OF]


def occurrences(unit: str, event: str, more: dict[str, Any]) -> list[float]:
    first = members()[unit][1]
    hours = more.get("window_hours")
    until = first + dt.timedelta(hours=hours) if hours else START + dt.timedelta(days=15)
    both = '{"channel": "web", "size": 2}'
    rows = [
        row for row in EVENTS
        if row["unit_id"] == unit and row["name"] == event and first <= row["timestamp"] <= until
        and ("where" not in more or row["properties"] == both)
    ]  # fmt: skip
    if "of" in more:
        return [2.0 for row in rows if row["properties"] == both]
    return [row["value"] for row in rows if row["value"] is not None]
