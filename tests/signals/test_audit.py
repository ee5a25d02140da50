"""The catalog audit against catalogs whose faults are known."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from click.testing import CliRunner

from optimizer.api._context import EXTENSION
from optimizer.app import close_app
from optimizer.cli.main import group
from optimizer.signals.advice import RECOMMENDED_MAXIMUM, Candidate, start_set, what_to_drop
from tests.conftest import NOON, Clock, KeyedClient

Add = Callable[[list[dict[str, Any]]], None]


def send(client: KeyedClient, *events: dict[str, Any]) -> None:
    answer = client.post("/v1/events", json={"events": list(events)})
    assert answer.json["rejected"] == []


def a_day(days_ago: float) -> str:
    return (NOON - dt.timedelta(days=days_ago)).isoformat()


@pytest.fixture
def shop(client: KeyedClient, add_events: Add) -> KeyedClient:
    """600 visitors of 40 to 60 days ago; of those who read the size guide 80% buy later, of the others 10%."""
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    rows = []
    for number in range(600):
        first = NOON - dt.timedelta(days=40 + number % 20)
        names = [("view_item", 0.0)]
        if number % 3 == 0:
            names.append(("size_guide", 1.0))
        if number % 2 == 0:
            names.append(("theme_switched", 1.0))
        if number % 10 < (8 if number % 3 == 0 else 1):
            names += [("add_to_cart", 100.0), ("purchase", 101.0)]
        rows += [
            {"name": name, "user_id": f"u{number}", "timestamp": first + dt.timedelta(hours=hours)}
            for name, hours in names
        ]
    add_events(rows)
    send(client, *({"name": name, "user_id": "u0", "timestamp": a_day(40)} for name in {row["name"] for row in rows}))
    return client


def audit(client: KeyedClient, query: str = "") -> dict[str, Any]:
    answer = client.get(f"/v1/catalog/audit{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_an_empty_catalog_is_audited_too(client: KeyedClient) -> None:
    found = audit(client)
    assert (found["names"], found["goal"], found["drop"], found["start_set"]) == (0, None, [], [])
    assert "no goal" in found["ranking"]


def test_a_name_is_unused_after_90_days_of_silence_and_not_a_day_before(client: KeyedClient, clock: Clock) -> None:
    send(client, {"name": "old_banner", "user_id": "u1"}, {"name": "waited_for", "user_id": "u1"})
    client.put("/v1/metrics/waiting", json={"type": "proportion", "event": "waited_for"})
    clock.forward(days=89.9)
    client.put("/v1/catalog/events/launches_soon", json={})
    assert audit(client)["unused"] == []
    clock.forward(days=0.2)
    found = audit(client)
    assert [(one["event"], one["days_silent"], one["used_by"]) for one in found["unused"]] == [
        ("old_banner", 90, []),
        ("waited_for", 90, ["metric waiting"]),
    ]
    assert [(one["event"], one["reason"]) for one in found["drop"]] == [("old_banner", "unused")]


def test_daily_totals_of_cookieless_tools_are_use_too(client: KeyedClient, clock: Clock) -> None:
    send(client, {"name": "old_banner", "user_id": "u1"})
    clock.forward(days=100)
    count = {"date": clock.now.date().isoformat(), "name": "old_banner", "visitors": 3, "occurrences": 4}
    client.post("/v1/counts", json={"system": "swetrix", "counts": [count]})
    found = audit(client)
    assert found["unused"] == []
    assert found["events"][0]["occurrences"] == 4


def test_merged_spellings_and_near_duplicates_come_with_their_numbers(client: KeyedClient) -> None:
    names = ["Add-To-Cart", "add to cart", "add_to_cart", "cart_add", "purchase", "page_view", "page_views"]
    send(client, *({"name": name, "user_id": f"u{min(place, 5)}"} for place, name in enumerate(names)))
    found = audit(client)
    [merged] = found["merged_spellings"]
    assert merged == {"event": "add_to_cart", "spellings": ["Add-To-Cart", "add to cart"], "occurrences": 3}
    pair, other = found["near_duplicates"]
    assert (other["events"], other["units_of_both"]) == (["page_view", "page_views"], 1)
    assert pair["events"] == ["add_to_cart", "cart_add"]
    assert (pair["occurrences"], pair["units_of_both"], pair["keep"]) == ([3, 1], 0, "add_to_cart")
    [drop, _] = found["drop"]
    assert (drop["event"], drop["reason"], drop["merge_into"]) == ("cart_add", "near_duplicate", "add_to_cart")


def test_properties_that_are_missing_or_never_asked_for_are_counted(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/video_start", json={"required_properties": {"title": "string"}})
    client.put("/v1/catalog/events/size_guide", json={})
    send(
        client,
        *({"name": "video_start", "user_id": "u1", "properties": {"title": "x"} if n else {}} for n in range(4)),
        {"name": "size_guide", "user_id": "u1"},
    )
    assert audit(client)["missing_properties"] == [
        {"event": "video_start", "required": ["title"], "occurrences": 4, "missing": 1, "share": 0.25},
        {"event": "size_guide", "required": [], "occurrences": 1, "missing": 0, "share": 0.0},
    ]


def test_more_than_15_micro_conversions_are_too_many_and_what_nothing_uses_goes_first(client: KeyedClient) -> None:
    names = [f"interest_in_{letter * 3}" for letter in "abcdefghijklmnopq"]
    send(client, *({"name": name, "user_id": "u1"} for name in names), {"name": names[-1], "user_id": "u2"})
    client.put("/v1/metrics/last", json={"type": "proportion", "event": names[-1]})
    found = audit(client)
    assert found["micro_conversions"] == {
        "active": 0, "proposed": 17, "total": 17, "recommended_maximum": 15, "excess": 2,
    }  # fmt: skip
    assert [(one["event"], one["reason"]) for one in found["drop"]] == [
        (names[-3], "beyond_the_maximum"),
        (names[-2], "beyond_the_maximum"),
    ]


def test_the_start_set_is_a_predictor_a_milestone_and_an_action(shop: KeyedClient) -> None:
    found = audit(shop)
    assert (found["goal"], found["ranking"]) == ("purchase", "ok")
    assert [(one["role"], one["event"]) for one in found["start_set"]] == [
        ("predictor", "size_guide"),
        ("process_milestone", found["start_set"][1]["event"]),
        ("secondary_action", "theme_switched"),
    ]
    assert found["start_set"][1]["event"] in {"view_item", "add_to_cart"}
    assert "lift" in found["start_set"][0]["detail"]


def test_a_goal_that_nobody_sent_is_404_when_asked_for_and_said_when_only_catalogued(client: KeyedClient) -> None:
    assert client.get("/v1/catalog/audit?goal=nothing").status_code == 404
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    assert "cannot be ranked" in audit(client)["ranking"]


@pytest.mark.parametrize("query", ["days=0", "days=x", "goal=", "surplus=1"])
def test_a_wrong_question_names_the_field(client: KeyedClient, query: str) -> None:
    answer = client.get(f"/v1/catalog/audit?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


def test_the_job_writes_one_audit_a_quarter_that_stays_as_it_was(
    app: APIFlask, client: KeyedClient, clock: Clock
) -> None:
    schedule = app.extensions[EXTENSION].schedule
    assert schedule.run_now("audit_catalog", now=clock.now).summary["projects"] == {}  # nothing to audit yet
    send(client, {"name": "add_to_cart", "user_id": "u1"})
    for days in (1, 30, 45, 1):  # 2 November, 2 December, 16 and 17 January
        clock.forward(days=days)
        assert schedule.run_now("audit_catalog", now=clock.now).summary["failed"] == []
    listed = client.get("/v1/catalog/audits?limit=1").json
    assert [one["number"] for one in listed["data"]] == [2]
    older = client.get(f"/v1/catalog/audits?limit=1&cursor={listed['next_cursor']}").json
    assert [(one["number"], one["names"]) for one in older["data"]] == [(1, 1)]
    assert client.get("/v1/catalog/audits/1").json["as_of"] == "2026-11-02T12:00:00Z"
    missing = client.get("/v1/catalog/audits/3")
    assert missing.status_code == 404
    assert "1 to 2" in missing.json["detail"]
    for number in (10**30, "x", "-1", "²", 0):
        assert client.get(f"/v1/catalog/audits/{number}").status_code == 404


def test_an_audit_with_another_versions_fields_is_left_out(
    app: APIFlask, client: KeyedClient, clock: Clock, forget_field: Callable[[str, int], None]
) -> None:
    send(client, {"name": "add_to_cart", "user_id": "u1"})
    for days in (1, 90):
        app.extensions[EXTENSION].schedule.run_now("audit_catalog", now=clock.forward(days=days))
    forget_field("names", 1)
    assert [one["number"] for one in client.get("/v1/catalog/audits").json["data"]] == [2]
    answer = client.get("/v1/catalog/audits/1")
    assert answer.status_code == 404
    assert "Another version" in answer.json["detail"]


def test_another_projects_audits_are_not_ours(client: KeyedClient, client_of: Callable[..., KeyedClient]) -> None:
    send(client, {"name": "add_to_cart", "user_id": "u1"})
    assert audit(client_of("second"))["names"] == 0


def test_the_command_prints_the_same(client: KeyedClient, settings: Any, app: APIFlask) -> None:
    send(client, {"name": "add_to_cart", "user_id": "u1"}, {"name": "cart_add", "user_id": "u2"})
    close_app(app)  # the embedded store belongs to one process
    options = ["audit", "--data-dir", str(settings.data_dir), "--days", "3650"]
    told = CliRunner().invoke(group, options, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert "cart_add" in told.output
    as_json = json.loads(CliRunner().invoke(group, [*options, "--json"], catch_exceptions=False).stdout)
    assert as_json["near_duplicates"][0]["events"] == ["add_to_cart", "cart_add"]


def test_advice_without_a_ranking_goes_by_how_many_do_it() -> None:
    few, many = Candidate("wishlist_add", None, 5, 5), Candidate("video_start", None, 9, 9)
    found = start_set([few, many, Candidate("add_to_cart", None, 3, 3)])
    assert [(one.role, one.event) for one in found] == [
        ("process_milestone", "add_to_cart"),
        ("secondary_action", "video_start"),
    ]


def test_of_fifty_names_those_with_proof_or_use_stay() -> None:
    ranked = [
        Candidate(f"e{n:02}", None, 10, 10, (), "promote" if n < 5 else "watch", 2.0, (1.5, 3.0), 0.01)
        for n in range(50)
    ]
    used = Candidate("z_used", None, 1, 1, ("metric z",))
    step = Candidate("z_step", "process_milestone", 9, 9, (), "drop", 1.0, (0.9, 1.1), 0.9)
    drops = {one.event for one in what_to_drop([*ranked, used, step], {}, {})}
    assert len(drops) == 52 - RECOMMENDED_MAXIMUM
    assert not drops & {"e00", "e01", "e02", "e03", "e04", "z_used", "z_step"}
