from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from optimizer.errors import NotFoundError, OptimizerError
from optimizer.jobs.claim import EXPIRES_AFTER, claim
from optimizer.jobs.schedule import Job, JobContext, Schedule, discover_jobs
from optimizer.settings import Settings
from optimizer.storage.control import ControlStore
from optimizer.storage.migrate import upgrade
from optimizer.storage.stores import Stores
from tests.conftest import NOON, Clock

Run = Callable[[JobContext], dict[str, Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, stores: Stores) -> Iterator[Stores]:
    """Stores on either control plane."""
    if request.param == "sqlite":
        yield stores
        return
    control = ControlStore(request.getfixturevalue("postgres_url"))
    upgrade(control)
    yield Stores(control, stores.events, stores.cipher)
    control.close()


def schedule(stores: Stores, settings: Settings, clock: Clock, run: Run) -> Schedule:
    return Schedule(stores, settings, clock, {"work": Job("work", "* * * * *", run)})


def test_a_slot_runs_once_however_many_processes_ring(both: Stores, settings: Settings, clock: Clock) -> None:
    ran = []

    def work(context: JobContext) -> dict[str, Any]:
        ran.append(context.now)
        return {"done": 1}

    processes = [schedule(both, settings, clock, work) for _ in range(3)]
    runs = [process.run_slot(process.jobs["work"], NOON) for process in processes]
    assert [run is not None for run in runs] == [True, False, False]
    assert len(ran) == 1
    assert runs[0] is not None
    assert (runs[0].status, runs[0].summary) == ("ok", {"done": 1})
    assert processes[1].run_slot(processes[1].jobs["work"], NOON + dt.timedelta(minutes=1)) is not None


def test_two_threads_never_claim_the_same_slot(both: Stores) -> None:
    barrier, won = threading.Barrier(4), []

    def contend() -> None:
        barrier.wait()
        run_id = claim(both.control, "work", NOON, now=NOON)
        if run_id is not None:
            won.append(run_id)

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_dead_run_is_taken_over_once_its_heartbeat_is_old(both: Stores) -> None:
    minute = dt.timedelta(minutes=1)
    assert claim(both.control, "work", NOON, now=NOON) is not None
    assert claim(both.control, "work", NOON + minute, now=NOON + EXPIRES_AFTER) is None
    assert claim(both.control, "work", NOON + 2 * minute, now=NOON + EXPIRES_AFTER + minute) is not None


def test_a_failing_job_is_recorded_without_what_it_was_working_on(
    stores: Stores, settings: Settings, clock: Clock
) -> None:
    def fail(context: JobContext) -> dict[str, Any]:
        del context
        raise RuntimeError("ann@example.com is not a number")

    def refuse(context: JobContext) -> dict[str, Any]:
        del context
        raise OptimizerError("The goal is unknown.")

    run = schedule(stores, settings, clock, fail).run_now("work", now=NOON)
    assert (run.status, run.error) == ("failed", "RuntimeError: see the log")
    run = schedule(stores, settings, clock, refuse).run_now("work", now=NOON)
    assert run.error == "OptimizerError: The goal is unknown."


def test_run_now_waits_for_the_run_under_way(stores: Stores, settings: Settings, clock: Clock) -> None:
    entered, go_on, order = threading.Event(), threading.Event(), []

    def slow(context: JobContext) -> dict[str, Any]:
        order.append(context.only)
        if context.only == 1:
            entered.set()
            go_on.wait(10)
        return {}

    first, second = (schedule(stores, settings, clock, slow) for _ in range(2))
    thread = threading.Thread(target=first.run_now, args=("work",), kwargs={"now": NOON, "only": 1})
    thread.start()
    entered.wait(10)
    asking = threading.Thread(target=second.run_now, args=("work",), kwargs={"now": NOON, "only": 2})
    asking.start()
    assert order == [1]
    go_on.set()
    thread.join(10)
    asking.join(10)
    assert order == [1, 2]


def test_stopping_releases_a_run_that_does_not_end(stores: Stores, settings: Settings, clock: Clock) -> None:
    entered, told = threading.Event(), threading.Event()

    def stubborn(context: JobContext) -> dict[str, Any]:
        entered.set()
        told.wait(10)
        return {"stopping": context.stopping.is_set()}

    working = schedule(stores, settings, clock, stubborn)
    runs: list[Any] = []
    thread = threading.Thread(target=lambda: runs.append(working.run_now("work", now=NOON)))
    thread.start()
    entered.wait(10)
    working.stop(timeout=0.05)
    assert claim(stores.control, "work", NOON + dt.timedelta(minutes=1), now=NOON) is not None
    told.set()
    thread.join(10)
    assert runs[0].status == "released"


def test_every_job_is_found_and_an_unknown_one_is_named(stores: Stores, settings: Settings, clock: Clock) -> None:
    assert set(discover_jobs()) == {
        "audit_catalog",
        "expire",
        "feedback_sync",
        "refresh_profiles",
        "refresh_segments",
        "remember_experiments",
        "run_experiments",
        "take_looks",
        "train_likelihood",
    }
    with pytest.raises(NotFoundError, match="take_looks"):
        Schedule(stores, settings, clock).run_now("dance", now=NOON)
