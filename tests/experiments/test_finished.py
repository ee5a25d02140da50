"""Finished days are summed once; what changes their members sums them again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import select

from optimizer.experiments import finished
from optimizer.experiments.cohort import count_exposed
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.finished import sum_by_day, total
from optimizer.experiments.metrics import Resolved
from optimizer.experiments.scan import Scan, sum_up
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, FinishedCohort, Metric

Add = Callable[[list[dict[str, Any]]], None]
START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def metrics(project_id: int, **more: Any) -> dict[str, Resolved]:
    return {"carts": Resolved(Metric(project_id=project_id, key="carts", type="count", event="add_to_cart", **more))}


@pytest.fixture
def experiment(stores: Stores, project_id: int, add_events: Add, add_exposures: Add) -> Experiment:
    variants = [{"key": "a", "weight": 1}, {"key": "b", "weight": 1}]
    row = Experiment(project_id=project_id, key="x", primary_metric="carts", variants=variants, started_at=START)
    with stores.control.session() as session:
        session.add(row)
        session.flush()
        session.expunge(row)
    for number in range(100):
        first = START + number * DAY / 10 + DAY / 20 + dt.timedelta(microseconds=number)
        add_exposures([{"experiment": "x", "variant": "ab"[number % 2], "user_id": f"{number}", "timestamp": first}])
        add_events(
            [
                {"name": "add_to_cart", "user_id": f"{number}", "timestamp": first + dt.timedelta(hours=hours)}
                for hours in range(number % 4)
            ]
        )
    return row


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Scan]:
    seen: list[Scan] = []

    def watched(store: Any, project_id: int, experiment: Experiment, scan: Scan) -> Any:
        seen.append(scan)
        return sum_up(store, project_id, experiment, scan)

    monkeypatch.setattr(finished, "sum_up", watched)
    return seen


def read(stores: Stores, experiment: Experiment, wanted: dict[str, Resolved], as_of: dt.datetime) -> Any:
    groups = plan_groups(wanted, 0, None)
    exposed = count_exposed(stores.events, experiment.project_id, experiment, until=as_of)
    days = sum_by_day(stores, experiment, groups, exposed, as_of=as_of)
    row = total(days[0], exposed.keys, groups[0])
    return row.n.tolist(), row.totals.tolist()


def fresh(stores: Stores, experiment: Experiment, wanted: dict[str, Resolved], as_of: dt.datetime) -> Any:
    with stores.control.session() as session:
        for row in session.exec(select(FinishedCohort)):
            session.delete(row)
    return read(stores, experiment, wanted, as_of)


def test_the_next_look_reads_only_what_is_not_finished(
    stores: Stores, project_id: int, experiment: Experiment, scans: list[Scan]
) -> None:
    wanted = metrics(project_id, window_hours=24)
    read(stores, experiment, wanted, START + 8 * DAY)
    again = read(stores, experiment, wanted, START + 9 * DAY)
    assert [scan.since[0] for scan in scans] == [dt.date(2026, 6, 1), dt.date(2026, 6, 6)]  # 5 days + 24 h + 48 h
    assert again == fresh(stores, experiment, wanted, START + 9 * DAY)
    assert again[0] == [40.0, 40.0]
    far = START + 30 * DAY
    whole = read(stores, experiment, wanted, far)
    scans.clear()
    assert read(stores, experiment, wanted, far) == whole
    assert read(stores, experiment, wanted, far + DAY) == whole
    assert scans == []  # nobody was exposed since


def test_a_unit_that_turns_up_in_a_second_variant_leaves_its_finished_day(
    stores: Stores, project_id: int, experiment: Experiment, add_exposures: Add
) -> None:
    wanted = metrics(project_id, window_hours=24)
    before = read(stores, experiment, wanted, START + 9 * DAY)
    add_exposures([{"experiment": "x", "variant": "b", "user_id": "20", "timestamp": START + 8 * DAY}])
    after = read(stores, experiment, wanted, START + 9 * DAY)
    assert after[0] == [before[0][0] - 1, before[0][1]]
    assert after == fresh(stores, experiment, wanted, START + 9 * DAY)


@pytest.mark.parametrize("more", [{}, {"window_hours": 24, "cap": {"percentile": 0.9}}])
def test_what_can_still_change_is_never_kept(
    more: dict[str, Any], stores: Stores, project_id: int, experiment: Experiment, scans: list[Scan]
) -> None:
    for days in (20, 21):
        read(stores, experiment, metrics(project_id, **more), START + days * DAY)
    assert [scan.since[0] for scan in scans] == [dt.date(2026, 6, 1)] * 2
    with stores.control.reading() as session:
        assert session.exec(select(FinishedCohort)).all() == []


def test_another_definition_is_summed_anew(stores: Stores, project_id: int, experiment: Experiment) -> None:
    far = START + 30 * DAY
    one = read(stores, experiment, metrics(project_id, window_hours=24), far)
    assert read(stores, experiment, metrics(project_id, window_hours=1), far) != one
