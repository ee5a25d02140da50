"""From a stored event to a platform, over real HTTP, and everything that can go wrong on the way."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest

from tests.conftest import Clock, KeyedClient
from tests.fixtures.feedback import DESTINATIONS, GRANTED, SendEvents, rule
from tests.fixtures.sandbox import TOKEN, Sandbox


def sync(client: KeyedClient, **query: str) -> dict[str, dict[str, Any]]:
    answer = client.post("/v1/feedback/sync", query_string=query)
    assert answer.status_code == 200, answer.json
    return {row["destination"]: row for row in answer.json["destinations"] or answer.json["preview"]}


def deliveries(client: KeyedClient, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/v1/deliveries", query_string=query).json["data"]
    return rows


def counted(sandbox: Sandbox) -> Counter[str]:
    received = sandbox.received()
    assert all(item["times"] == 1 for item in received)
    return Counter(item["platform"] for item in received)


@pytest.fixture
def ruled(connected: KeyedClient) -> KeyedClient:
    assert connected.put("/v1/signal-rules/carts", json=rule()).status_code == 200
    return connected


def test_a_rules_event_reaches_both_platforms_once_however_often_the_job_runs(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox, clock: Clock
) -> None:
    send_events(3)
    first = sync(ruled)
    assert {key: row["sent"] for key, row in first.items()} == {"google-main": 3, "meta-main": 3}
    for _ in range(3):
        clock.forward(minutes=15)
        assert all(row["sent"] == 0 for row in sync(ruled).values())
    assert counted(sandbox) == {"meta": 3, "google_data_manager": 3}
    sent = deliveries(ruled, status="sent")
    assert len(sent) == 6
    assert all(row["reference"] and row["sent_at"] for row in sent)


def test_an_event_carries_its_value_and_hashes_and_nothing_raw(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox
) -> None:
    [event_id] = send_events()
    sync(ruled)
    by_platform = {received["platform"]: received["item"] for received in sandbox.received()}
    assert by_platform["meta"]["event_id"] == event_id
    assert by_platform["meta"]["event_name"] == "AddToCart"
    assert by_platform["meta"]["custom_data"] == {"value": 20.0, "currency": "eur"}
    assert by_platform["google_data_manager"]["conversionValue"] == 20.0
    assert by_platform["google_data_manager"]["adIdentifiers"] == {"gclid": "Cj0abc"}
    assert "@" not in str(by_platform)


@pytest.mark.parametrize("consent", [{}, {"ad_user_data": False}])
def test_without_consent_nothing_leaves(
    consent: dict[str, bool], ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox
) -> None:
    send_events(consent=consent)
    sync(ruled)
    assert sandbox.received() == []
    assert {row["reason"] for row in deliveries(ruled, status="skipped")} == {"no consent to ad_user_data"}


def test_a_withdrawal_before_sending_stops_what_is_pending(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox
) -> None:
    send_events(user_id="u-leaves")
    send_events(user_id="u-leaves", name="settings_saved", consent={**GRANTED, "ad_user_data": False})
    sync(ruled)
    assert sandbox.received() == []
    assert {row["reason"] for row in deliveries(ruled)} == {"consent to ad_user_data was withdrawn"}


def test_a_dry_run_shows_the_requests_and_sends_nothing(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox
) -> None:
    send_events(2)
    send_events(context={"ip": "203.0.113.7"}, click_ids={})
    shown = sync(ruled, dry_run="true")
    assert shown["google-main"]["would_send"] == 3
    assert shown["meta-main"]["would_send"] == 2
    assert list(shown["meta-main"]["would_skip"].values()) == [1]
    assert shown["meta-main"]["examples"][0]["request"]["event_name"] == "AddToCart"
    assert sandbox.received() == []
    assert sync(ruled)["google-main"]["sent"] == 3


@pytest.mark.parametrize("kind", ["server_error", "cut", "cut_after", "garbage"])
def test_trouble_is_retried_and_counted_once(
    kind: str, ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox, clock: Clock
) -> None:
    send_events(2)
    sandbox.order({"kind": kind}, {"kind": kind})
    assert all(row["pending"] == 2 for row in sync(ruled).values())
    clock.forward(hours=7)
    assert all(row["sent"] == 2 for row in sync(ruled).values())
    assert Counter(item["platform"] for item in sandbox.received()) == {"meta": 2, "google_data_manager": 2}


def test_an_ambiguous_send_is_not_repeated_after_the_dedup_window(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox, clock: Clock
) -> None:
    ruled.delete("/v1/destinations/google-main")
    send_events()
    sandbox.order(*[{"kind": "cut_after"}] * 20)
    for _ in range(12):
        sync(ruled)
        clock.forward(hours=7)
    [row] = deliveries(ruled, destination="meta-main")
    assert row["status"] == "unknown"
    assert "dedup window" in row["reason"]
    assert ruled.post(f"/v1/deliveries/{row['id']}/retry").status_code == 409


def test_a_bad_token_pauses_the_destination_and_its_rows_wait(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox, clock: Clock
) -> None:
    broken = {**DESTINATIONS["meta-main"], "credentials": {"access_token": "expired"}, "base_url": sandbox.url}
    ruled.put("/v1/destinations/meta-main", json=broken)
    send_events(2)
    assert "paused" in sync(ruled)["meta-main"]["note"]
    assert {row["status"] for row in deliveries(ruled, destination="meta-main")} == {"pending"}
    mended = {**broken, "credentials": {"access_token": TOKEN}}
    ruled.put("/v1/destinations/meta-main", json=mended)
    clock.forward(minutes=1)
    assert sync(ruled)["meta-main"]["sent"] == 2


def test_a_failing_platform_opens_the_circuit_and_closes_it_again(
    ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox, clock: Clock
) -> None:
    ruled.delete("/v1/destinations/google-main")
    send_events()
    sandbox.order(*[{"kind": "server_error"}] * 5)
    for _ in range(5):
        sync(ruled)
        clock.forward(hours=7)
    clock.forward(hours=-7)
    assert "circuit open" in sync(ruled)["meta-main"]["note"]
    [health] = ruled.get("/v1/feedback/health").json["data"]
    assert health["circuit_open_until"] is not None
    clock.forward(hours=13)
    assert sync(ruled)["meta-main"]["sent"] == 1


def test_below_the_volume_gate_events_are_skipped_with_the_numbers(
    connected: KeyedClient, send_events: SendEvents
) -> None:
    connected.put("/v1/signal-rules/carts", json=rule(minimum_weekly_events=5))
    send_events(2)
    assert sync(connected)["meta-main"]["sent"] == 0
    assert deliveries(connected)[0]["reason"] == "below the rule's minimum_weekly_events: 2 of 5"


def test_a_rule_covers_what_comes_after_it_and_backfill_reaches_back(
    connected: KeyedClient, send_events: SendEvents, clock: Clock
) -> None:
    send_events(2)
    connected.put("/v1/signal-rules/carts", json=rule())
    clock.forward(minutes=1)
    send_events(1)
    assert sync(connected)["meta-main"]["sent"] == 1
    assert connected.post("/v1/signal-rules/carts/backfill").json == {"enqueued": 4}
    assert connected.post("/v1/signal-rules/carts/backfill").json == {"enqueued": 0}
    assert sync(connected)["meta-main"]["sent"] == 2


def test_deleting_a_rule_skips_what_it_queued(ruled: KeyedClient, send_events: SendEvents, sandbox: Sandbox) -> None:
    send_events(1)
    sync(ruled, dry_run="true")
    assert ruled.delete("/v1/signal-rules/carts").status_code == 204
    sync(ruled)
    assert sandbox.received() == []
    assert {row["reason"] for row in deliveries(ruled)} == {"rule deleted"}
    assert ruled.post("/v1/deliveries/retry", json={"status": "skipped"}).json == {"retried": 2}


def test_pages_of_deliveries_follow_each_other(ruled: KeyedClient, send_events: SendEvents) -> None:
    send_events(3)
    sync(ruled, dry_run="true")
    seen, cursor = [], None
    while True:
        page = ruled.get("/v1/deliveries", query_string={"limit": 4, **({"cursor": cursor} if cursor else {})}).json
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 6
    assert ruled.get("/v1/deliveries?cursor=made-up").status_code == 400


def test_another_project_sees_and_touches_nothing(
    ruled: KeyedClient, send_events: SendEvents, client_of: Any
) -> None:
    send_events(1)
    sync(ruled)
    [row] = deliveries(ruled, destination="meta-main")
    other = client_of("other")
    assert other.get("/v1/deliveries").json["data"] == []
    assert other.get("/v1/destinations").json["data"] == []
    for path in ("/v1/destinations/meta-main", "/v1/signal-rules/carts", "/v1/feedback/policy"):
        assert other.get(path).status_code == 404
    assert other.post(f"/v1/deliveries/{row['id']}/retry").status_code == 404


def test_an_event_that_aged_in_the_queue_is_skipped_with_the_reason(
    ruled: KeyedClient, send_events: SendEvents, clock: Clock
) -> None:
    send_events(timestamp=(clock.now - dt.timedelta(days=8)).isoformat())
    totals = sync(ruled)
    assert (totals["meta-main"]["skipped"], totals["google-main"]["sent"]) == (1, 1)
    [row] = deliveries(ruled, destination="meta-main")
    assert row["reason"] == "older than the 7 days Meta accepts"
