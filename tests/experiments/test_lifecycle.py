from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from optimizer.core.allocation import Points, Split, split
from optimizer.experiments.lifecycle import run_schedule
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment
from tests.conftest import Clock, KeyedClient
from tests.experiments.conftest import Draft

PATH = "/v1/experiments/pdp-cta"


def stored_split(stores: Stores, key: str) -> Split:
    with stores.control.reading() as session:
        found = session.exec(select(Experiment.split).where(Experiment.key == key)).one()
    assert found is not None
    return Split(tuple(found["ends"]), tuple(found["variants"]))


@pytest.mark.parametrize("change", [{"alpha": 0.1}, {"unit": "session"}, {"targeting": {}}, {"seed": "x"},
    {"namespace": None}, {"planned_visitors": 9}, {"scheduled_start_at": None}, {"goal_metric": None}])  # fmt: skip
def test_what_is_frozen_is_named(client: KeyedClient, run: Draft, change: dict[str, Any]) -> None:
    run()
    refused = client.patch(PATH, json={**change, "name": "x"})
    assert refused.status_code == 409
    assert f"started: {next(iter(change))}. " in refused.json["detail"]
    assert client.get(PATH).json["name"] == ""


def test_the_allocation_only_grows_and_only_while_it_runs(client: KeyedClient, run: Draft, clock: Clock) -> None:
    run(allocation=0.2)
    assert client.patch(PATH, json={"allocation": 0.1}).status_code == 409
    assert client.patch(PATH, json={"allocation": 0.5}).json["allocation"] == 0.5
    clock.forward(days=1)
    client.post(f"{PATH}/stop")
    assert client.patch(PATH, json={"allocation": 1.0}).status_code == 409


def test_a_stopped_experiment_never_runs_again(client: KeyedClient, run: Draft, clock: Clock) -> None:
    run()
    clock.forward(days=1)
    client.post(f"{PATH}/stop")
    for path in ("start", "stop"):
        refused = client.post(f"{PATH}/{path}")
        assert refused.status_code == 409
        assert "stopped" in refused.json["detail"]
    client.post(f"{PATH}/archive")
    assert client.post(f"{PATH}/start").status_code == 409
    assert client.post(f"{PATH}/rollout", json={"variant": "treatment"}).status_code == 409


def test_a_winner_is_rolled_out_after_the_stop(client: KeyedClient, run: Draft, clock: Clock) -> None:
    run()
    assert client.post(f"{PATH}/rollout", json={"variant": "treatment"}).status_code == 409
    clock.forward(days=1)
    client.post(f"{PATH}/stop")
    unknown = client.post(f"{PATH}/rollout", json={"variant": "tretment"})
    assert unknown.status_code == 422
    assert "control, treatment" in unknown.json["detail"]
    shown = client.post(f"{PATH}/rollout", json={"variant": "treatment"}).json
    assert (shown["winning_variant"], shown["rolled_out_at"]) == ("treatment", "2026-11-02T12:00:00Z")


def test_the_schedule_starts_and_stops_at_the_planned_times(
    client: KeyedClient, draft: Draft, stores: Stores, clock: Clock
) -> None:
    draft(scheduled_start_at="2026-11-01T13:00:00Z", scheduled_stop_at="2026-11-03T13:00:00Z")
    assert run_schedule(stores.control, now=clock.now) == {"started": 0, "stopped": 0, "failed": []}
    assert run_schedule(stores.control, now=clock.forward(minutes=61)) == {"started": 1, "stopped": 0, "failed": []}
    assert client.get(PATH).json["started_at"] == "2026-11-01T13:00:00Z"
    assert client.patch(PATH, json={"scheduled_stop_at": "2026-11-02T13:00:00Z"}).status_code == 200
    assert run_schedule(stores.control, now=clock.forward(days=3)) == {"started": 0, "stopped": 1, "failed": []}
    assert client.get(PATH).json["stopped_at"] == "2026-11-02T13:00:00Z"
    assert run_schedule(stores.control, now=clock.now) == {"started": 0, "stopped": 0, "failed": []}
    log = client.get(f"{PATH}/log").json["data"]
    assert [(line["action"], line["actor"] == "schedule") for line in log] == [
        ("created", False), ("started", True), ("changed", False), ("stopped", True),
    ]  # fmt: skip


def test_what_the_schedule_cannot_start_is_logged_once_and_started_when_it_can(
    client: KeyedClient, run: Draft, draft: Draft, stores: Stores, clock: Clock
) -> None:
    all_of_it = {"name": "checkout", "from": 0, "to": 1}
    run("first", namespace=all_of_it)
    draft("second", namespace=all_of_it, scheduled_start_at="2026-11-01T13:00:00Z")
    clock.forward(hours=2)
    for _ in range(3):
        assert len(run_schedule(stores.control, now=clock.forward(minutes=1))["failed"]) == 1
    [failed] = [
        line for line in client.get("/v1/experiments/second/log").json["data"] if line["action"] == "start_failed"
    ]
    assert "`first`" in failed["detail"]["reason"]
    client.patch("/v1/experiments/first", json={"scheduled_stop_at": "2026-11-01T15:00:00Z"})
    done = run_schedule(stores.control, now=clock.forward(hours=1))
    assert done == {"started": 1, "stopped": 1, "failed": []}


def test_an_experiment_whose_whole_time_was_slept_through_is_not_started(
    draft: Draft, stores: Stores, clock: Clock
) -> None:
    draft(scheduled_start_at="2026-11-01T13:00:00Z", scheduled_stop_at="2026-11-02T13:00:00Z")
    assert run_schedule(stores.control, now=clock.forward(days=9))["started"] == 0


@pytest.mark.parametrize(
    ("design", "pointer"),
    [
        ({"scheduled_start_at": "2026-11-01T11:00:00Z"}, "/scheduled_start_at"),
        ({"scheduled_start_at": "2026-11-03T00:00:00Z", "scheduled_stop_at": "2026-11-02T00:00:00Z"},
         "/scheduled_stop_at"),
        ({"key": "history"}, "/key"),
        ({"targeting": {"attribute": "country", "like": "D"}}, "/targeting/like"),
        ({"variants": [{"key": "control"}, {"key": "not_enrolled"}]}, "/variants"),
        ({"variants": [{"key": "control"}]}, "/variants"),
        ({"variants": [{"key": "a", "weight": 0}, {"key": "b", "weight": 0}]}, "/variants"),
    ],
)  # fmt: skip
def test_a_draft_that_does_not_fit_is_named(draft: Draft, design: dict[str, Any], pointer: str) -> None:
    refused = draft(**design)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json["errors"]] == [pointer]


def test_the_split_is_kept_from_the_start_and_the_next_test_on_the_seed_moves_the_fewest(
    client: KeyedClient, run: Draft, stores: Stores, clock: Clock
) -> None:
    thirds = [{"key": key} for key in "abc"]
    run("one", variants=thirds, seed="shared")
    clock.forward(days=1)
    client.post("/v1/experiments/one/stop")
    run("two", variants=[{**thirds[0], "weight": 2}, *thirds[1:]], seed="shared")
    before, after = stored_split(stores, "one"), stored_split(stores, "two")
    assert before == split({"a": 1, "b": 1, "c": 1})
    points = Points("shared", "split").of_many(f"u:{n}" for n in range(20_000))
    moved = (before.variants_of(points) != after.variants_of(points)).mean()
    assert moved == pytest.approx(1 / 6, abs=0.01)  # borders that move would have cost 1/4
