from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select

from optimizer.experiments.flags import Flags
from optimizer.experiments.stickiness import Stickiness, seen_first
from optimizer.ingest.event import Exposure
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Assignment, Experiment
from tests.conftest import NOON
from tests.experiments.conftest import Draft

LATER = NOON + dt.timedelta(hours=1)


def stored(stores: Stores) -> dict[str, str]:
    with stores.control.reading() as session:
        return {row.unit: row.variant for row in session.exec(select(Assignment).order_by(col(Assignment.unit)))}


@pytest.fixture
def stickiness(run: Draft, stores: Stores) -> Stickiness:
    run()
    return Stickiness(stores.control, Flags(stores.control))


def seen(unit: str, variant: str = "control", at: dt.datetime = LATER) -> Exposure:
    return Exposure("pdp-cta", variant, user_id=unit, timestamp=at)


def test_the_first_exposure_holds_within_a_batch_and_over_batches(stores: Stores, stickiness: Stickiness) -> None:
    later = LATER + dt.timedelta(minutes=1)
    stickiness.witness(1, [seen("u1", "treatment", later), seen("u1", "control"), seen("u2")], later)
    stickiness.witness(1, [seen("u2", "treatment", later)], later)
    assert stored(stores) == {"u:u1": "control", "u:u2": "control"}
    assert stickiness.look_up(1, ["u:u1"]) == "control"
    assert stickiness.look_up(1, ["u:nobody"]) is None


def test_what_is_no_exposure_of_the_design_binds_nobody(stores: Stores, stickiness: Stickiness) -> None:
    early = NOON - dt.timedelta(hours=1)
    unknown = [seen("u1", "tretment"), seen("u2", at=early), Exposure("other", "control", user_id="u3"),
               Exposure("pdp-cta", "control", session_id="s")]  # fmt: skip
    stickiness.witness(1, unknown, LATER)
    assert stored(stores) == {}


def test_many_at_once_are_written_together_and_none_is_lost(stores: Stores, stickiness: Stickiness) -> None:
    with ThreadPoolExecutor(8) as pool:
        for n in range(200):
            pool.submit(stickiness.witness, 1, [seen(f"u{n // 2}")], LATER)
    assert len(stored(stores)) == 100


def test_of_several_units_the_earliest_exposure_counts_also_when_they_are_remembered(stickiness: Stickiness) -> None:
    sooner = LATER - dt.timedelta(microseconds=1)
    stickiness.witness(1, [seen("u1"), seen("u2", "treatment", sooner), seen("u3", "treatment")], LATER)
    for _ in range(2):
        assert stickiness.look_up(1, ["u:u1", "u:u2"]) == "treatment"
        assert stickiness.look_up(1, ["u:u2", "u:u1"]) == "treatment"
    assert stickiness.look_up(1, ["u:nobody", "u:u1"]) == "control"


def test_a_look_up_goes_by_the_primary_key(stores: Stores) -> None:
    asked = stores.control.query(seen_first(2)).compiled.string
    with stores.control.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", (1, "u:u1", "a:a1")).fetchall()
    assert [step[-1] for step in plan] == [
        "SEARCH assignment USING INDEX sqlite_autoindex_assignment_1 (experiment_id=? AND unit=?)"
    ]


def test_strays_are_noticed_once_for_the_experiment(stores: Stores, stickiness: Stickiness) -> None:
    stickiness.witness(1, [seen(f"u{n}", "treatment") for n in range(20)], LATER)  # about half of them are not
    with stores.control.reading() as session:
        assert session.exec(select(Experiment.strays)).one() is True


def test_a_control_plane_that_fails_costs_no_exposure_and_is_tried_again(
    stores: Stores, stickiness: Stickiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    stickiness.witness(1, [seen("u0")], LATER)

    def broken() -> None:
        raise OperationalError("BEGIN", {}, Exception("away"))

    monkeypatch.setattr(stores.control, "session", broken)
    stickiness.witness(1, [seen("u1")], LATER)
    monkeypatch.undo()
    stickiness.witness(1, [seen("u1")], LATER)
    assert stored(stores) == {"u:u0": "control", "u:u1": "control"}
