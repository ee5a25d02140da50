"""What every destination must do, run for every platform that is discovered."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from optimizer.feedback.contract import (
    Accepted,
    Connection,
    Delivery,
    Destination,
    PauseDestination,
    Rejected,
    Retry,
    Skip,
    destinations,
)
from optimizer.ingest.match_data import MatchData
from optimizer.storage.tables.base import utc_now
from tests.fixtures.sandbox import TOKEN, Sandbox

HASH = "5c4f1b6b6f3dd7dbd1ca3ab0cb2a7b5ea0e42a8f1c2b84a4b2a3d7b1d6cf0a11"
ACCOUNTS: dict[str, dict[str, str]] = {
    "meta": {"dataset_id": "111"},
    "google_data_manager": {"operating_account_id": "1234567890", "product_destination_id": "42"},
}
FIELD_THAT_BREAKS = {"meta": ("event_name", ""), "google_data_manager": ("transactionId", "123456")}
Item = dict[str, Any]

platforms = pytest.mark.parametrize("platform", sorted(destinations()))


def connect(platform: str, base_url: str | None = None, token: str = TOKEN, **connection: Any) -> Destination:
    kind = destinations()[platform]
    return kind(
        kind.Account.model_validate(ACCOUNTS[platform]),
        kind.Credentials.model_validate({"access_token": token}),
        Connection(base_url, **connection),
    )


def delivery(number: int = 1, **changes: Any) -> Delivery:
    match = MatchData(
        email_sha256=HASH,
        email_google_sha256=HASH,
        phone_e164_sha256=HASH,
        phone_digits_sha256=HASH,
        click_ids={"gclid": "Cj0abc", "fbc": "fb.1.1700000000000.abc", "fbp": "fb.1.1700000000000.123"},
        ip="203.0.113.7",
        user_agent="Mozilla/5.0",
        page="https://shop.example.com/p/1",
    )
    made = Delivery(
        event_id=f"event-{number}",
        event_name="add_to_cart",
        platform_event=None,
        event_time=utc_now() - dt.timedelta(hours=1),
        value=4.2,
        currency="EUR",
        unit_sha256=HASH,
        match=match,
        ad_personalization=False,
    )
    return dataclasses.replace(made, **changes)


def items(destination: Destination, count: int) -> list[Item]:
    return [destination.render(delivery(number), now=utc_now()) for number in range(count)]


@platforms
def test_the_platform_takes_what_is_rendered_and_counts_each_event_once(platform: str, sandbox: Sandbox) -> None:
    destination = connect(platform, sandbox.url)
    sent = items(destination, 3)
    for _ in range(2):
        outcomes = destination.send(sent)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert len(outcomes) == 3
    assert [received["item"] for received in sandbox.received(platform)] == sent
    assert [received["times"] for received in sandbox.received(platform)] == [2, 2, 2]


@platforms
def test_validate_only_and_check_count_nothing(platform: str, sandbox: Sandbox) -> None:
    findings = connect(platform, sandbox.url).check()
    assert [finding.level for finding in findings] == ["ok", "warning"]
    assert sandbox.received(platform) == []


@platforms
def test_check_with_a_bad_token_is_an_error(platform: str, sandbox: Sandbox) -> None:
    [finding] = connect(platform, sandbox.url, token="expired").check()
    assert finding.level == "error"
    assert "expired" not in finding.detail


@platforms
@pytest.mark.parametrize("place", [0, 4, 8])
def test_one_bad_item_is_rejected_alone(platform: str, place: int, sandbox: Sandbox) -> None:
    destination = connect(platform, sandbox.url)
    sent = items(destination, 9)
    field, value = FIELD_THAT_BREAKS[platform]
    sent[place] = {**sent[place], field: value}
    outcomes = destination.send(sent)
    assert isinstance(outcomes[place], Rejected)
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 8
    assert len(sandbox.received(platform)) == 8


@platforms
def test_a_bad_token_pauses_and_never_rejects(platform: str, sandbox: Sandbox) -> None:
    destination = connect(platform, sandbox.url, token="expired")
    assert all(isinstance(outcome, PauseDestination) for outcome in destination.send(items(destination, 2)))


@platforms
@pytest.mark.parametrize(
    ("kind", "ambiguous"),
    [
        ("server_error", True),
        ("throttle", False),
        ("cut", True),
        ("cut_after", True),
        ("hang_after", True),
        ("garbage", True),
        ("timeout", True),
    ],
)
def test_trouble_is_tried_again_and_is_ambiguous_when_it_may_have_arrived(
    platform: str, kind: str, ambiguous: bool, sandbox: Sandbox
) -> None:
    destination = connect(platform, sandbox.url, timeout_seconds=(2.0, 0.5))
    sent = items(destination, 2)
    sandbox.order({"kind": kind, "seconds": 1})
    for outcome in destination.send(sent):
        assert isinstance(outcome, Retry)
        assert outcome.ambiguous is ambiguous
    assert len(sandbox.received(platform)) == (2 if kind.endswith("_after") else 0)


@platforms
def test_nobody_listening_is_not_ambiguous(platform: str) -> None:
    destination = connect(platform, "http://127.0.0.1:9")
    [outcome] = destination.send(items(destination, 1))
    assert outcome == Retry("no connection to the platform")


@platforms
def test_what_is_too_old_or_cannot_be_matched_is_skipped_with_the_reason(platform: str) -> None:
    destination = connect(platform)
    old = utc_now() - destination.limits.maximum_age - dt.timedelta(minutes=1)
    with pytest.raises(Skip, match="older than"):
        destination.render(delivery(event_time=old), now=utc_now())
    with pytest.raises(Skip):
        destination.render(delivery(match=MatchData()), now=utc_now())


@platforms
def test_no_secret_and_no_person_shows_in_a_repr(platform: str) -> None:
    destination = connect(platform, token="very-secret")
    shown = f"{destination!r} {destination.credentials!r} {delivery()!r}"
    assert "very-secret" not in shown
    assert HASH not in repr(delivery().match)


@platforms
def test_limits_name_their_source_and_date(platform: str) -> None:
    limits = destinations()[platform].limits
    assert limits.source
    assert limits.as_of <= utc_now().date()
    assert limits.batch > 0
    assert limits.requests_per_minute > 0


@platforms
def test_no_value_without_a_currency(platform: str, sandbox: Sandbox) -> None:
    destination = connect(platform, sandbox.url)
    item = destination.render(delivery(currency=None), now=utc_now())
    assert "4.2" not in str(item)
    assert isinstance(destination.send([item])[0], Accepted)
