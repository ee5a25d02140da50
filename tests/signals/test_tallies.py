"""What the engines count is what the definition says, unit by unit, on both of them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from optimizer.core.signals.grids import CAPPED_ACTIVITY, RECENCY_SHARES
from optimizer.signals.at_risk import PERIOD_LEVELS, View, goals_after
from optimizer.signals.cohorts import Cohort, describe_cohort, numbered_events, people, within_window
from optimizer.signals.outcomes import follow_converters
from optimizer.signals.samples import read_sample, sampled_people
from optimizer.signals.tallies import Tally, count
from optimizer.signals.worths import sum_worths
from optimizer.storage.events import EVENT_SCHEMA, EventStore
from optimizer.storage.open import open_event_store
from tests.fixtures.clickhouse import make_database

MONDAY = dt.datetime(2026, 6, 1)  # noqa: DTZ001 - as engines keep it
WINDOW = dt.timedelta(days=5)
NAMES = ("view", "wish", "video", "rare")


def drawn() -> list[dict[str, Any]]:
    rng = np.random.default_rng(8)
    rows = []
    for unit in range(150):
        first, seen = rng.uniform(0, 20 * 86_400), int(rng.integers(1, 12))
        moments = np.sort(np.append(first, first + rng.exponential(86_400, seen)))
        for place, moment in enumerate(moments):
            goal = place > 0 and rng.random() < 0.12
            rows.append(
                {
                    "unit_id": f"u:{unit}",
                    "name": "purchase" if goal else rng.choice(NAMES, p=(0.5, 0.3, 0.19, 0.01)),
                    "timestamp": MONDAY + dt.timedelta(seconds=float(np.floor(moment))),
                    "value": round(float(rng.uniform(5, 50)), 2) if goal else None,
                    "source": [None, "google", "mail"][unit % 3],
                    "device": ["mobile", "desktop"][(unit + place) % 2],
                }
            )
    return rows


ROWS = drawn()


@pytest.fixture(
    scope="module", params=["duckdb", pytest.param("clickhouse", marks=pytest.mark.xdist_group("clickhouse"))]
)
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "tallies"))
    fixed = {"project_id": 1, "content_hash": 0, "received_at": MONDAY, "bot": False, "properties": "{}"}
    rows = [{**fixed, **row, "sequence": n, "id_hash": n, "event_id": str(n)} for n, row in enumerate(ROWS, 1)]
    made.append({"events": pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)})
    yield made
    made.close()


@pytest.fixture
def cohort(store: EventStore) -> Cohort:
    end = (MONDAY + dt.timedelta(days=18)).replace(tzinfo=dt.UTC)
    return describe_cohort(store, 1, "purchase", WINDOW, (None, end), by=None)


def units() -> dict[str, list[tuple[int, str, float | None]]]:
    """Return unit → (seconds since first seen, name, value) within the window, of those first seen in time."""
    found: dict[str, list[tuple[dt.datetime, str, float | None]]] = {}
    for row in ROWS:
        found.setdefault(row["unit_id"], []).append((row["timestamp"], row["name"], row["value"]))
    kept = {}
    for unit, events in found.items():
        first = min(at for at, _, _ in events)
        if first < MONDAY + dt.timedelta(days=18):
            seen = [(int((at - first).total_seconds()), name, value) for at, name, value in events]
            kept[unit] = [event for event in seen if event[0] <= WINDOW.total_seconds()]
    return kept


def goal_of(events: list[tuple[int, str, float | None]]) -> int | None:
    return min((off for off, name, _ in events if name == "purchase"), default=None)


def level(value: float, bounds: tuple[int, ...]) -> int:
    return sum(value >= bound for bound in bounds)


def by_hand(event: str, length: int) -> tuple[Counter[tuple[int, ...]], Counter[tuple[int, ...]]]:
    """Count person-periods at risk per (did it, converts), and per (period, recency, activity, did it, converts)."""
    totals: Counter[tuple[int, ...]] = Counter()
    strata: Counter[tuple[int, ...]] = Counter()
    for events in units().values():
        goal = goal_of(events)
        places = sorted({off // length for off, _, _ in events})
        for place, following in zip(places, [*places[1:], None], strict=True):
            if goal is not None and place >= goal // length:
                continue
            past = [(off, name) for off, name, _ in events if off // length <= place]
            done = int(any(name == event for _, name in past))
            converts = int(goal is not None and following == goal // length)
            gap = (place + 1) * length - max(off for off, _ in past)
            recency = level(gap, tuple(int(share * length) + 1 for share in RECENCY_SHARES))
            key = (level(place, PERIOD_LEVELS), recency, min(len(past), CAPPED_ACTIVITY))
            totals[done, converts] += 1
            strata[*key, done, converts] += 1
    return totals, strata


def tally_of(store: EventStore, cohort: Cohort, view: View) -> Tally:
    events = numbered_events(store, 1, cohort)
    seen = within_window(events, people(events, cohort), cohort)
    return count(view.rows(seen, cohort), cohort, ("source", "device", "group", "week"))


@pytest.mark.parametrize("hours", [0.25, 6.0, 24.0])
def test_person_periods_are_counted_as_defined(store: EventStore, cohort: Cohort, hours: float) -> None:
    tally = tally_of(store, cohort, View(hours, landmark=False))
    assert sorted(cohort.events) == sorted(NAMES)
    for place, event in enumerate(cohort.events):
        totals, strata = by_hand(event, round(hours * 3600))
        keys = zip(*(tally.keys[name].tolist() for name in ("period", "recency", "activity")), strict=True)
        found: Counter[tuple[int, ...]] = Counter()
        for cell, key in enumerate(keys):
            did, bought = int(tally.done[place, cell]), int(tally.done_converts[place, cell])
            risk, converts = int(tally.sums["risk"][cell]), int(tally.sums["converts"][cell])
            found[*key, 1, 1] += bought
            found[*key, 1, 0] += did - bought
            found[*key, 0, 1] += converts - bought
            found[*key, 0, 0] += risk - did - (converts - bought)
        assert +found == strata
        crude = tally.strata(place, tally.everything(), ())[0].crude()
        assert (crude.converted_with, crude.units_with) == (totals[1, 1], totals[1, 1] + totals[1, 0])
        assert (crude.converted_without, crude.units_without) == (totals[0, 1], totals[0, 1] + totals[0, 0])


def test_units_are_counted_once_however_many_periods_they_have(store: EventStore, cohort: Cohort) -> None:
    tally = tally_of(store, cohort, View(6.0, landmark=False))
    every, kept = units(), tally.everything()
    goals = [goal for events in every.values() if (goal := goal_of(events)) is not None]
    early = sum(goal < 6 * 3600 for goal in goals)
    assert tally.total("opens", kept) + tally.total("early", kept) == len(every)
    assert (tally.total("early", kept), tally.total("converters", kept)) == (early, len(goals))
    assert tally.total("converts", kept) == len(goals) - early
    for place, event in enumerate(cohort.events):
        doers = [events for events in every.values() if any(name == event for _, name, _ in events)]
        assert tally.ever[place].sum() == len(doers)
        assert tally.ever_converters[place].sum() == sum(goal_of(events) is not None for events in doers)


def test_a_landmark_is_counted_as_defined(store: EventStore, cohort: Cohort) -> None:
    tally, mark = tally_of(store, cohort, View(24.0, landmark=True)), 86_400
    at_risk = [events for events in units().values() if (goal_of(events) or mark + 1) > mark]
    for place, event in enumerate(cohort.events):
        did = [events for events in at_risk if any(name == event and off <= mark for off, name, _ in events)]
        crude = tally.strata(place, tally.everything(), ())[0].crude()
        assert (crude.units_with, crude.units_without) == (len(did), len(at_risk) - len(did))
        assert crude.converted_with == sum(goal_of(events) is not None for events in did)
    assert tally.total("early", tally.everything()) == len(units()) - len(at_risk)


def test_outcomes_and_worths_are_as_defined(store: EventStore, cohort: Cohort) -> None:
    events = numbered_events(store, 1, cohort)
    seen = within_window(events, people(events, cohort), cohort)
    outcomes, worths = follow_converters(seen, cohort), sum_worths(seen, cohort, None)
    for place, event in enumerate(cohort.events):
        waits, brought, doers = [], 0.0, 0
        for own in units().values():
            goal, first = goal_of(own), min((off for off, name, _ in own if name == event), default=None)
            if first is None or (goal is not None and first > goal):
                continue
            doers += 1
            if goal is not None:
                waits.append(goal - first)
                brought += sum(value or 0.0 for _, name, value in own if name == "purchase")
        found = outcomes.get((0, place))
        assert (found.before_goal if found else 0) == len(waits)
        if found and found.median_seconds is not None:
            assert found.median_seconds == pytest.approx(float(np.median(waits)))
        assert worths.units_with[place].sum() == doers
        assert worths.value_with[place].sum() == pytest.approx(brought)


def test_a_whole_sample_is_everybody_and_half_a_sample_about_half(store: EventStore, cohort: Cohort) -> None:
    events = numbered_events(store, 1, cohort)
    units_ = people(events, cohort)
    everybody, converters, after = goals_after(units_, (6.0, 24.0))
    drawn_, *shares = sampled_people(units_, converters, everybody - converters)
    view = View(6.0, landmark=False)
    sample = read_sample(view.rows(within_window(events, drawn_, cohort), cohort), (shares[0], shares[1]))
    assert shares == [1.0, 1.0]
    tally = tally_of(store, cohort, view)
    assert sample.units.sum() == tally.total("risk", tally.everything())
    assert sample.converts.sum() == tally.total("converts", tally.everything()) == dict(after)[6.0]
    half, *_ = sampled_people(units_, 8_000, 24_000)
    assert len(units()) / 4 < half.count().to_pyarrow().as_py() < len(units()) * 3 / 4
    assert set(half.unit_id.to_pyarrow().to_pylist()) <= set(units())
