"""What one unit did lately is answered by key, follows who a visitor became, ages, and is forgotten."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select

from optimizer.catalog.projects import ensure_default_project
from optimizer.core.likelihood import LinearModel
from optimizer.jobs.refresh_profiles import run as refresh_job
from optimizer.jobs.schedule import JobContext
from optimizer.segments import profiles
from optimizer.segments.intent import read_intent
from optimizer.segments.profiles import refresh_profiles
from optimizer.settings import Settings
from optimizer.signals.likelihood_versions import Scoring
from optimizer.signals.recent import Recipe
from optimizer.storage.control import ControlStore
from optimizer.storage.migrate import upgrade
from optimizer.storage.open import open_event_store
from optimizer.storage.stores import Stores
from optimizer.storage.tables import UnitProfile
from tests.conftest import NOON, Clock, KeyedClient
from tests.fixtures.plans import Explain

Add = Callable[[list[dict[str, Any]]], None]
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def did(user: str, name: str, days: float, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "name": name, "timestamp": NOON - DAY * days, **more}


def intent(client: KeyedClient, unit: str) -> dict[str, Any]:
    answer = client.get(f"/v1/units/{unit}/intent")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def refresh(client: KeyedClient) -> dict[str, int]:
    answer = client.post("/v1/units/refresh")
    assert answer.status_code == 200, answer.text
    found: dict[str, int] = answer.json
    return found


def held(stores: Stores) -> set[str]:
    with stores.control.reading() as session:
        return set(session.exec(select(UnitProfile.unit_id)))


def test_what_a_unit_did_lately_is_told_newest_first_and_goals_apart(client: KeyedClient, add_events: Add) -> None:
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    client.put("/v1/catalog/events/wish", json={"kind": "secondary_action"})
    add_events([
        did("ann", "wish", 3), did("ann", "wish", 2), did("ann", "view", 1), did("ann", "purchase", 1.5),
        did("ann", "wish", 31), did("bob", "view", 40),
        {"anonymous_id": "x", "name": "view", "timestamp": NOON - HOUR},
    ])  # fmt: skip
    assert refresh(client) == {"refreshed": 2, "forgotten": 0}
    found = intent(client, "ann")
    assert (found["status"], found["user_id"], found["anonymous_id"]) == ("known", "ann", None)
    assert [(one["event"], one["kind"], one["times"]) for one in found["micro_conversions"]] == [
        ("view", None, 1), ("wish", "secondary_action", 2),
    ]  # fmt: skip
    assert [(one["event"], one["times"]) for one in found["conversions"]] == [("purchase", 1)]
    assert found["micro_conversions"][1]["last_at"] == "2026-10-30T12:00:00Z"
    assert found["computed_at"] == "2026-11-01T12:00:00Z"
    assert intent(client, "x")["anonymous_id"] == "x"
    for nobody in ("bob", "nobody"):
        empty = intent(client, nobody)
        assert (empty["status"], empty["user_id"], empty["micro_conversions"]) == ("unknown", None, [])
        assert "within a minute" in empty["detail"]


def test_profiles_are_kept_only_while_somebody_asks(
    client: KeyedClient, stores: Stores, settings: Settings, add_events: Add
) -> None:
    def ring(at: dt.datetime) -> dict[str, Any]:
        return refresh_job(JobContext(stores, settings, at, threading.Event()))

    add_events([did("ann", "view", 1)])
    assert ring(NOON) == {"projects": {}, "failed": [], "unasked": 0}
    assert "first question" in intent(client, "ann")["detail"]
    assert ring(NOON)["projects"] == {"1": {"refreshed": 1, "forgotten": 0}}
    assert intent(client, "ann")["status"] == "known"
    assert ring(NOON + 28 * DAY)["unasked"] == 0
    assert held(stores) == {"u:ann"}
    assert ring(NOON + 30 * DAY) == {"projects": {}, "failed": [], "unasked": 1}
    assert held(stores) == set()


def test_only_what_changed_is_computed_again(client: KeyedClient, add_events: Add) -> None:
    add_events([did(f"u{n}", "view", 2) for n in range(5)])
    assert refresh(client)["refreshed"] == 5
    assert refresh(client)["refreshed"] == 0
    add_events([did("u3", "view", 0)])
    assert refresh(client)["refreshed"] == 1
    assert intent(client, "u3")["micro_conversions"][0]["times"] == 2


def test_a_visitor_who_becomes_a_user_is_answered_as_that_user(client: KeyedClient, stores: Stores) -> None:
    def batch(*calls: dict[str, Any]) -> None:
        assert client.post("/v1/batch", json={"batch": list(calls)}).status_code == 200
        refresh(client)

    batch({"type": "track", "event": "view", "anonymousId": "x"})
    assert intent(client, "x")["anonymous_id"] == "x"
    batch({"type": "identify", "userId": "old", "anonymousId": "x"})
    batch({"type": "track", "event": "wish", "anonymousId": "x"})
    for unit in ("x", "old"):
        found = intent(client, unit)
        assert (found["user_id"], found["anonymous_id"]) == ("old", None)
        assert {one["event"] for one in found["micro_conversions"]} == {"view", "identify", "wish"}
    batch({"type": "alias", "previousId": "old", "userId": "new"})
    assert {intent(client, unit)["user_id"] for unit in ("x", "old", "new")} == {"new"}
    assert held(stores) == {"a:x", "a:old", "u:old", "u:new"}  # an alias may be of either kind


def test_profiles_age_and_are_forgotten_with_everybody_who_became_them(
    client: KeyedClient, stores: Stores, clock: Clock
) -> None:
    identified = {"type": "identify", "userId": "u", "anonymousId": "x"}
    client.post("/v1/batch", json={"batch": [{"type": "track", "event": "view", "anonymousId": "x"}, identified]})
    refresh(client)
    clock.forward(days=2)
    assert refresh(client) == {"refreshed": 1, "forgotten": 0}
    assert intent(client, "u")["computed_at"] == clock.now.isoformat().replace("+00:00", "Z")
    clock.forward(days=29)
    assert intent(client, "u")["status"] == "unknown"  # also before the job has been there
    assert refresh(client) == {"refreshed": 0, "forgotten": 2}
    assert held(stores) == set()


def test_segments_and_likelihood_are_told_too(
    client: KeyedClient, add_events: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Scoring(1, Recipe(("wish",), ()), LinearModel(("a", "b", "c", "d", "e"), (0.0, 0.0, 0.0, 0.0, 1.0), -1.0))
    monkeypatch.setattr(profiles, "model_in_use", lambda *_, **__: model)
    mailed = {"consent_email": True}
    add_events([did("ann", "wish", 3, **mailed), did("bob", "view", 3), did("eve", "wish", 45, **mailed)])
    body = {"definition": {"did": "wish"}, "purpose": "email"}
    for key in ("wishes", "again"):
        client.put(f"/v1/segments/{key}", json=body)
        client.post(f"/v1/segments/{key}/refresh")
    refresh(client)
    ann, bob, eve = (intent(client, unit) for unit in ("ann", "bob", "eve"))
    assert (ann["segments"], bob["segments"]) == (["again", "wishes"], [])
    assert ann["conversion_likelihood"] == pytest.approx(1 / (1 + 2.718281828459045 / 2))  # log-odds ln 2 - 1
    assert bob["conversion_likelihood"] == pytest.approx(1 / (1 + 2.718281828459045))
    assert (eve["status"], eve["segments"], eve["conversion_likelihood"]) == ("known", ["again", "wishes"], None)
    client.post("/v1/suppressions", json={"suppressions": [{"user_id": "ann"}]})
    assert intent(client, "ann")["segments"] == []


def test_a_project_sees_its_own_units_and_keys_for_segments_may_ask(
    client: KeyedClient, client_of: Callable[..., KeyedClient], add_events: Add
) -> None:
    add_events([did("ann", "view", 1)])
    refresh(client)
    assert intent(client_of("second"), "ann")["status"] == "unknown"
    assert intent(client_of("default", "segments"), "ann")["status"] == "known"
    assert client_of("default", "read").get("/v1/units/ann/intent").status_code == 403


def test_a_first_refresh_goes_through_history_in_pieces_and_can_be_stopped(
    stores: Stores, project_id: int, add_events: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "EVENTS_AT_ONCE", 10)
    monkeypatch.setattr(profiles, "UNITS_AT_ONCE", 3)
    add_events([did(f"u{n % 40}", "view", n / 10) for n in range(100)])
    stopping = threading.Event()
    stopping.set()
    refresh_profiles(stores, project_id, now=NOON, stopping=stopping)
    assert len(held(stores)) < 40
    stopping.clear()
    refresh_profiles(stores, project_id, now=NOON, stopping=stopping)
    assert len(held(stores)) == 40


@pytest.mark.xdist_group("clickhouse")
def test_clickhouse_and_postgresql_say_the_same(
    stores: Stores, add_events: Add, clickhouse_url: str, postgres_url: str, request: pytest.FixtureRequest
) -> None:
    add_events([did("ann", "wish", 3), did("ann", "view", 1), did("bob", "view", 40)])
    rows = stores.events.table("events").to_pyarrow()
    events, control = open_event_store(clickhouse_url), ControlStore(postgres_url)
    request.addfinalizer(events.close)
    request.addfinalizer(control.close)
    upgrade(control)
    with control.session() as session:
        ensure_default_project(session)
    events.append({"events": rows})
    other = replace(stores, events=events, control=control)
    found = []
    for both in (stores, other):
        assert refresh_profiles(both, 1, now=NOON) == {"refreshed": 1, "forgotten": 0}
        assert refresh_profiles(both, 1, now=NOON)["forgotten"] == 0
        with both.control.reading() as session:
            found.append(read_intent(session, 1, "ann", now=NOON).model_dump())
    assert found[0] == found[1]


def test_the_answer_goes_by_keys_and_the_refresh_by_what_is_new(
    client: KeyedClient, stores: Stores, project_id: int, add_events: Add, explain: Explain
) -> None:
    add_events([did(f"u{n}", "view", 1) for n in range(50)])
    client.put("/v1/segments/viewed", json={"definition": {"did": "view"}})
    plans = explain(lambda: refresh_profiles(stores, project_id, now=NOON))
    assert {plan.scans["events"] for plan in plans} == {1}
    assert not [plan.pairwise for plan in plans if plan.pairwise]
    assert not [plan.columns for plan in plans if not plan.columns <= {"unit_id", "name", "timestamp", "sequence"}]
    asked: list[tuple[str, Any]] = []
    event.listen(stores.control.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    with stores.control.reading() as session:
        assert read_intent(session, project_id, "u1", now=NOON).status == "known"
    read = [(text, given) for text, given in asked if text.startswith("SELECT")]
    with stores.control.engine.connect() as connection:
        steps = [
            step[-1]
            for text, given in read
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given).fetchall()
        ]
    assert [step for step in steps if "SCAN" in step] == []
    assert any("unit_profile" in step and "(project_id=? AND unit_id=?)" in step for step in steps)
    assert any("segment_member" in step and "(segment_id=? AND unit_id=?)" in step for step in steps)
