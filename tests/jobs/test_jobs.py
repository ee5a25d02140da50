"""What each scheduled job does when it rings."""

from __future__ import annotations

import datetime as dt
from typing import Any

from apiflask import APIFlask
from sqlmodel import select

from optimizer.api._context import EXTENSION
from optimizer.jobs.feedback_sync import run as feedback_sync
from optimizer.jobs.schedule import JobContext
from optimizer.storage.stores import Stores
from optimizer.storage.tables import ExperimentLook, JobRun, MatchDataRecord
from tests.conftest import NOON, Clock, KeyedClient


def ring(app: APIFlask, name: str, clock: Clock) -> JobRun:
    run: JobRun = app.extensions[EXTENSION].schedule.run_now(name, now=clock.now)
    assert run.status == "ok", run.error
    return run


def test_take_looks_stores_one_look_a_day_and_not_more(
    app: APIFlask, client: KeyedClient, stores: Stores, clock: Clock
) -> None:
    client.put("/v1/catalog/events/add_to_cart", json={})
    variants = [{"key": "a"}, {"key": "b"}]
    client.post("/v1/experiments", json={"key": "pdp", "variants": variants, "primary_metric": "add_to_cart"})
    client.post("/v1/experiments/pdp/start")
    for _ in range(6):
        clock.forward(hours=8)
        ring(app, "take_looks", clock)
    with stores.control.reading() as session:
        looks = session.exec(select(ExperimentLook.cutoff).order_by(ExperimentLook.cutoff)).all()  # type: ignore[arg-type]
    assert [look.day for look in looks] == [2, 3]


def test_expire_deletes_match_data_after_90_days(
    app: APIFlask, client: KeyedClient, stores: Stores, clock: Clock
) -> None:
    event = {"name": "a", "user_id": "u", "consent": {"ad_user_data": True}, "user": {"email": "a@example.com"}}
    client.post("/v1/events", json={"events": [event]})

    def kept() -> int:
        with stores.control.reading() as session:
            return len(session.exec(select(MatchDataRecord)).all())

    clock.forward(days=89)
    assert ring(app, "expire", clock).summary["match_data"] == 0
    assert kept() == 1
    clock.forward(days=2)
    assert ring(app, "expire", clock).summary["match_data"] == 1
    assert kept() == 0


def test_feedback_keeps_to_the_policys_schedule(
    client: KeyedClient, stores: Stores, settings: Any, project_id: int
) -> None:
    destination = {"platform": "meta", "account": {"dataset_id": "1"}, "credentials": {"access_token": "t"}}
    client.put("/v1/destinations/m", json=destination)
    policy = {"goal": "purchase", "destinations": ["m"], "schedule": "0 * * * *"}
    client.put("/v1/feedback/policy", json=policy)

    def rings_at(moment: dt.datetime) -> bool:
        import threading

        summary = feedback_sync(JobContext(stores, settings, moment, threading.Event()))
        return str(project_id) in summary["projects"]

    assert rings_at(NOON)  # never run before
    assert [rings_at(NOON + dt.timedelta(minutes=minutes)) for minutes in (15, 59, 60, 61, 119, 125)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
