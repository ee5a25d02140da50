"""What every look at every split knows, against a loop over every event, on every engine."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from optimizer.experiments import replay as replaying
from optimizer.experiments.columns import Column, Group, plan_groups
from optimizer.experiments.replay import Period, replay
from optimizer.storage.events import EVENT_SCHEMA, EventStore
from optimizer.storage.open import open_event_store
from tests.experiments.test_scan import EVENTS, METRICS, START, table
from tests.fixtures.clickhouse import make_database

pytestmark = pytest.mark.xdist_group("clickhouse")
PERIOD = Period(START, 12, "user", "user", None, 7, "seed", 5)
WEEK = dt.timedelta(days=7)


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "replay"))
    made.append({"events": table(EVENTS, EVENT_SCHEMA, "event_id")})
    yield made
    made.close()


def entries(exposed_by: str | None = None) -> dict[str, dt.datetime]:
    """Return when each unit enters."""
    found: dict[str, dt.datetime] = {}
    for row in EVENTS:
        if START <= row["timestamp"] < PERIOD.end and row["name"] == (exposed_by or row["name"]):
            found[row["unit_id"]] = min(row["timestamp"], found.get(row["unit_id"], row["timestamp"]))
    return found


def number(column: Column, unit: str, first: dt.datetime, until: dt.datetime) -> float:
    rows = [
        row for row in EVENTS
        if row["unit_id"] == unit and row["name"] == column.event
        and (first - WEEK <= row["timestamp"] < first if column.before else first <= row["timestamp"] <= until)
        and (not column.where or row["properties"] == '{"channel": "web", "size": 2}')
    ]  # fmt: skip
    if column.kind == "sum":
        return sum(row["value"] or 0.0 for row in rows)
    return float(len(rows) if column.kind == "count" else min(1, len(rows)))


def known_at(group: Group, look: int, exposed_by: str | None = None) -> dict[str, np.ndarray]:
    """Return one row of numbers a unit, as a look at the end of a day knows them; caps are of the last look."""
    window = None if group.window_hours is None else dt.timedelta(hours=group.window_hours)
    moment = START + look * dt.timedelta(days=1)
    rows = {}
    for unit, first in entries(exposed_by).items():
        until = moment - dt.timedelta(microseconds=1) if window is None else first + window
        if first < moment and until <= moment:
            known = any(
                number(replace(column, kind="count", before=True, where={}), unit, first, until)
                for column in group.columns
            )
            own = [number(column, unit, first, until) for column in group.columns]
            rows[unit] = np.array([*own, float(known)])
    return rows


def limits(group: Group) -> list[float]:
    last = np.array(list(known_at(group, PERIOD.days).values()))
    found = []
    for place, column in enumerate(group.columns):
        cap = column.cap or {}
        share = cap.get("percentile")
        limit = np.quantile(last[:, place], share, method="inverted_cdf") if share else cap.get("value", np.inf)
        found.append(float(limit))
    return [*found, np.inf]


def in_second(unit: str, split: int, bits: int = PERIOD.bits) -> bool:
    """Toss the coin: the parity of some of the first bits of the digest."""
    bucket = int(hashlib.md5(f"seed {unit}".encode(), usedforsecurity=False).hexdigest(), 16) >> (128 - bits)
    return (bucket & split).bit_count() % 2 == 1


@pytest.mark.parametrize("place", range(4))
def test_every_look_at_every_split_has_the_sums_of_a_loop_over_every_event(store: EventStore, place: int) -> None:
    group = plan_groups(METRICS, 7, "bought")[place]
    found = replay(store, 1, PERIOD, group)
    capped = limits(group)
    singles = [column.name for column in group.columns] + ["known"]
    for look in (2, 5, 12):
        units = known_at(group, look)
        assert found.units(look - 1) == len(units)
        rows = list(found.rows(look - 1, group.names))
        assert len(rows) == 31
        for split in (1, 6, 31):
            for arm in (False, True):
                mine = [row for unit, row in units.items() if in_second(unit, split) == arm]
                numbers = np.minimum(np.array(mine).reshape(-1, len(singles)), capped)
                named = dict(zip(singles, numbers.T, strict=True))
                named |= {name: (named[of] > 0).astype(float) for name, of in group.converters.items()}
                expected = np.array([named[name] for name in group.names]).T
                row = rows[split - 1]
                assert row.n[int(arm)] == len(mine)
                np.testing.assert_allclose(row.totals[int(arm)], expected.sum(0), atol=1e-9)
                known = ~np.isnan(row.products[int(arm)])
                np.testing.assert_allclose(
                    row.products[int(arm)][known], (expected.T @ expected)[known], rtol=1e-9, atol=1e-9
                )
    for one, other in (*group.pairs, (group.names[0], group.names[0])):
        assert not math.isnan(rows[0].products[0, row.place(one), row.place(other)])


def test_units_may_enter_with_one_kind_of_event(store: EventStore) -> None:
    [group] = plan_groups({"bought": METRICS["bought"]}, 0, None)
    found = replay(store, 1, replace(PERIOD, exposed_by="view_item", covariate_days=0), group)
    for look in (3, 12):
        units = known_at(group, look, "view_item")
        assert found.units(look - 1) == len(units)
        assert found.whole[look - 1, 1] == sum(row[0] for row in units.values())
    assert found.changed(0)
    nothing = replay(store, 1, replace(PERIOD, exposed_by="never", covariate_days=0), group)
    assert nothing.units(11) == 0
    assert not nothing.changed(5)


def test_parts_that_fit_into_memory_add_up_to_the_whole(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [group] = plan_groups({"bought": METRICS["bought"]}, 7, None)
    whole = replay(store, 1, PERIOD, group)
    monkeypatch.setattr(replaying, "EVENTS_A_PART", 100)
    parts = replay(store, 1, PERIOD, group)
    np.testing.assert_array_equal(parts.second, whole.second)
    np.testing.assert_array_equal(parts.whole, whole.whole)


def test_more_bits_draw_more_splits_of_the_same_units(store: EventStore) -> None:
    [group] = plan_groups({"bought": METRICS["bought"]}, 0, None)
    many = replay(store, 1, replace(PERIOD, bits=9, covariate_days=0), group)
    assert many.second.shape[:2] == (12, 511)
    for split in (1, 300, 511):
        members = sum(in_second(unit, split, 9) for unit in entries())
        assert many.second[11, split - 1, 0] == members
