"""Late and early events, wrong clocks, offsets, and times that are equal: what docs/ingest.md says under Times."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.storage.stores import Stores
from tests.conftest import KeyedClient

CALL = {"type": "track", "event": "x", "userId": "u", "messageId": "m1"}  # our clock says 12:00
CAPTURED = {"event": "x", "distinct_id": "u", "uuid": "0192f3c0-0000-7000-8000-000000000001"}


def times(stores: Stores) -> list[str]:
    return [str(row["timestamp"]) for row in stores.events.events(1).order_by("sequence").to_pyarrow().to_pylist()]


def posthog(client: KeyedClient, timestamp: str, sent_at: str) -> dict[str, Any]:
    body = {"api_key": client.key, "batch": [{**CAPTURED, "timestamp": timestamp}], "sent_at": sent_at}
    answer: dict[str, Any] = client.post("/batch/", json=body).json
    return answer


def segment(client: KeyedClient, timestamp: str, sent_at: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(
        "/v1/batch", json={"batch": [{**CALL, "timestamp": timestamp}], "sentAt": sent_at}
    ).json
    return answer


@pytest.mark.parametrize("send", [segment, posthog])
def test_a_clock_that_is_wrong_is_corrected_by_when_the_client_sent(
    send: Any, *, client: KeyedClient, stores: Stores
) -> None:
    send(client, "1970-01-01T00:00:00Z", "1970-01-01T00:30:00Z")
    assert times(stores) == ["2026-11-01 11:30:00"]


@pytest.mark.parametrize("send", [segment, posthog])
def test_a_repeat_that_is_sent_later_is_a_repeat_and_no_other_content(
    send: Any, *, client: KeyedClient, stores: Stores
) -> None:
    send(client, "2026-11-01T11:00:00Z", "2026-11-01T11:59:58Z")
    again = send(client, "2026-11-01T11:00:00Z", "2026-11-01T11:59:59.250Z")
    assert (again["duplicates"], again["warnings"]) == (1, [])
    assert times(stores) == ["2026-11-01 11:00:02"]


@pytest.mark.parametrize("send", [segment, posthog])
def test_a_correction_beyond_any_calendar_rejects_the_item(send: Any, *, client: KeyedClient) -> None:
    answer = send(client, "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z")
    assert [found["code"] for found in answer["rejected"]] == ["out_of_range"]


@pytest.mark.parametrize("send", [segment, posthog])
def test_a_time_without_an_offset_is_warned_of_and_receipt_stands_for_it(
    send: Any, *, client: KeyedClient, stores: Stores
) -> None:
    answer = send(client, "2026-11-01T11:00:00", "2026-11-01T12:00:00Z")
    assert [found["code"] for found in answer["warnings"]] == ["timestamp_without_offset"]
    assert times(stores) == ["2026-11-01 12:00:00"]


def test_our_own_format_wants_an_offset_and_keeps_the_moment(client: KeyedClient, stores: Stores) -> None:
    said = [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T02:30:00",
    ]  # the hour that came twice
    events = [{"name": "x", "user_id": "u", "timestamp": one} for one in said]
    answer = client.post("/v1/events", json={"events": events}).json
    assert [(found["index"], "timestamp" in found["detail"]) for found in answer["rejected"]] == [(2, True)]
    assert times(stores) == ["2026-10-25 00:30:00", "2026-10-25 01:30:00"]


@pytest.mark.parametrize(
    ("order", "sent", "bought"),
    [
        ("ordered", ("cart", "buy"), 1),
        ("ordered", ("buy", "cart"), 1),
        ("strict", ("cart", "buy"), 1),
        ("strict", ("buy", "cart"), 0),
    ],
)
def test_events_of_one_moment_are_in_order_unless_a_strict_funnel_asks_which_came_first(
    order: str, sent: tuple[str, ...], bought: int, *, client: KeyedClient
) -> None:
    events = [{"name": name, "user_id": "u", "timestamp": "2026-11-01T10:00:00Z"} for name in sent]
    assert client.post("/v1/events", json={"events": events}).json["accepted"] == 2
    asked = {"steps": ["cart", "buy"], "order": order, "from": "2026-10-01T00:00:00Z"}
    found = client.post("/v1/insights/funnel", json=asked).json
    assert found["total"]["steps"][1]["units"] == bought


def test_a_late_event_is_stored_under_its_own_time_within_the_retention(client: KeyedClient, stores: Stores) -> None:
    client.patch("/v1/project", json={"retention_days": 30})
    said = ["2026-10-03T00:00:00Z", "2026-10-01T00:00:00Z"]
    answer = client.post("/v1/events", json={"events": [{"name": "x", "user_id": "u", "timestamp": t} for t in said]})
    assert [(found["index"], found["code"]) for found in answer.json["rejected"]] == [(1, "too_old")]
    assert times(stores) == ["2026-10-03 00:00:00"]
