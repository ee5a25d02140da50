"""The policy chooses what predicts the goal, keeps it for two weeks, and says why."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from optimizer.feedback.policy import Choice, choose, maintain_rules
from optimizer.signals.answers import SignalsRequest
from optimizer.signals.service import rank_signals
from optimizer.storage.stores import Stores
from optimizer.storage.tables import FeedbackPolicy, PolicyRanking, SignalRule
from tests.conftest import Clock, KeyedClient
from tests.fixtures.feedback import SendEvents
from tests.fixtures.sandbox import Sandbox

POLICY = {"goal": "purchase", "destinations": ["meta-main"], "minimum_weekly_events": 10}


@pytest.fixture
def shop(add_events: Any, clock: Clock) -> None:
    """600 units first seen 40 days ago: `wish` trebles later purchases, `scroll` does nothing; both go on."""
    start = clock.now - dt.timedelta(days=40)
    rows = []
    for number in range(600):
        user = f"u{number}"
        rows.append({"name": "visit", "user_id": user, "timestamp": start})
        wishes, scrolls = number % 3 == 0, number % 2 == 0
        if wishes:
            rows.append({"name": "wish", "user_id": user, "timestamp": start + dt.timedelta(minutes=10)})
        if scrolls:
            rows.append({"name": "scroll", "user_id": user, "timestamp": start + dt.timedelta(minutes=5)})
        if number % 10 < (6 if wishes else 2):
            bought = start + dt.timedelta(days=5)
            rows.append({"name": "purchase", "user_id": user, "timestamp": bought, "value": 50.0, "currency": "EUR"})
    for name in ("wish", "scroll"):
        rows += [{"name": name, "user_id": f"new{n}", "timestamp": clock.now} for n in range(20)]
    add_events(rows)


def put_policy(client: KeyedClient, **changes: Any) -> dict[str, Any]:
    answer = client.put("/v1/feedback/policy", json={**POLICY, **changes})
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def choices(stores: Stores, project_id: int, clock: Clock) -> dict[str, str]:
    return {choice.event: choice.action for choice in maintain_rules(stores, project_id, now=clock.now)}


@pytest.mark.usefixtures("shop")
def test_it_chooses_the_predictor_and_says_why_it_passed_the_others_over(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_policy(connected)
    assert choices(stores, project_id, clock) == {"wish": "chosen", "scroll": "passed_over", "visit": "passed_over"}
    [rule] = connected.get("/v1/signal-rules").json["data"]
    assert (rule["key"], rule["event"], rule["managed_by_policy"]) == ("policy-wish", "wish", True)
    shown = {choice["event"]: choice for choice in connected.get("/v1/feedback/policy").json["choices"]}
    assert shown["wish"]["figures"]["lift"] > 2
    assert shown["wish"]["figures"]["expected_value"] > 20
    assert "q = " in shown["scroll"]["reasons"][0]


@pytest.mark.usefixtures("shop")
def test_its_terms_are_those_of_the_rules_it_makes(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    terms = {"margin": 0.4, "maximum": 9.0, "window_days": 4}
    assert {name: put_policy(connected, **terms)[name] for name in terms} == terms
    assert choices(stores, project_id, clock)["wish"] == "passed_over"  # within 4 days nobody bought
    put_policy(connected, **{**terms, "window_days": 14})
    assert choices(stores, project_id, clock)["wish"] == "chosen"
    [rule] = connected.get("/v1/signal-rules").json["data"]
    assert rule["value"] == {"mode": "predicted", "amount": None, **terms, "window_days": 14}
    put_policy(connected, margin=0.2)
    choices(stores, project_id, clock)
    [rule] = connected.get("/v1/signal-rules").json["data"]
    assert rule["value"] == {
        "mode": "predicted", "amount": None, "margin": 0.2, "maximum": None, "window_days": 30,
    }  # fmt: skip
    refused = connected.put("/v1/feedback/policy", json={**POLICY, **terms, "value": "none"})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/margin")


@pytest.mark.usefixtures("shop")
def test_deciding_the_same_again_is_not_a_new_choice(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_policy(connected)
    choices(stores, project_id, clock)
    for _ in range(3):
        clock.forward(minutes=15)
        assert choices(stores, project_id, clock)["wish"] == "kept"
    history = [choice["action"] for choice in put_policy(connected)["choices"] if choice["event"] == "wish"]
    assert history == ["kept", "chosen"]


@pytest.mark.usefixtures("shop")
def test_figures_are_made_once_a_day_and_when_another_question_is_asked(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    def ranked_at() -> dt.datetime | None:
        assert choices(stores, project_id, clock)["wish"] in {"chosen", "kept"}
        said = connected.get("/v1/feedback/policy").json["ranked_at"]
        return dt.datetime.fromisoformat(said) if said else None

    assert put_policy(connected)["ranked_at"] is None
    first = clock.now
    assert ranked_at() == first
    clock.forward(hours=23)
    assert ranked_at() == first
    put_policy(connected, minimum_q=0.01)  # judged by what is known
    assert ranked_at() == first
    put_policy(connected, window_days=20)
    assert ranked_at() == clock.now
    put_policy(connected, window_days=20, goal="scroll")
    assert choices(stores, project_id, clock)["wish"] == "kept"  # its two weeks
    assert connected.get("/v1/feedback/policy").json["ranked_at"] == clock.now.isoformat().replace("+00:00", "Z")
    put_policy(connected)
    ranked_at()
    clock.forward(days=1)
    assert ranked_at() == clock.now


@pytest.mark.usefixtures("shop")
def test_figures_that_another_version_wrote_are_made_anew(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_policy(connected)
    with stores.control.session() as session:
        session.add(PolicyRanking(project_id=project_id, made_at=clock.now, document={"goal": "purchase"}))
    assert choices(stores, project_id, clock)["wish"] == "chosen"


@pytest.mark.usefixtures("shop")
def test_a_chosen_signal_stays_two_weeks_unless_its_volume_falls(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_policy(connected)
    choices(stores, project_id, clock)
    put_policy(connected, minimum_q=1e-300)  # nothing could be chosen now
    assert choices(stores, project_id, clock)["wish"] == "kept"
    clock.forward(days=5)
    assert choices(stores, project_id, clock)["wish"] == "kept"
    clock.forward(days=3)  # the last 20 wishes are more than a week ago
    assert choices(stores, project_id, clock)["wish"] == "dropped"
    [rule] = connected.get("/v1/signal-rules").json["data"]
    assert rule["enabled"] is False


@pytest.mark.usefixtures("shop")
def test_after_two_weeks_a_signal_that_no_longer_fits_goes(stores: Stores, project_id: int, clock: Clock) -> None:
    policy = FeedbackPolicy(
        project_id=project_id, goal="purchase", minimum_q=1e-300, minimum_weekly_events=10, maximum_signals=3
    )
    ranking = rank_signals(stores, project_id, SignalsRequest(goal="purchase"), now=clock.now)

    def about_wish(chosen_days_ago: int) -> Choice:
        rule = SignalRule(
            project_id=project_id,
            key="policy-wish",
            event="wish",
            chosen_at=clock.now - dt.timedelta(days=chosen_days_ago),
        )
        found = choose(policy, ranking, {"wish": 20}, {"wish": rule}, now=clock.now)
        return next(choice for choice in found if choice.event == "wish")

    assert about_wish(13).action == "kept"
    assert "would be dropped" in about_wish(13).reason
    assert about_wish(15).action == "dropped"


@pytest.mark.usefixtures("shop")
def test_a_rule_that_a_person_rewrote_is_no_longer_the_policys(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_policy(connected)
    choices(stores, project_id, clock)
    body = {"event": "wish", "destinations": ["meta-main"], "enabled": False}
    assert connected.put("/v1/signal-rules/policy-wish", json=body).json["managed_by_policy"] is False
    assert choices(stores, project_id, clock)["wish"] == "passed_over"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"schedule": "every day"}, "/schedule"),
        ({"minimum_q": 0}, "/minimum_q"),
        ({"destinations": ["nobody"]}, "/destinations/0"),
        ({"maximum_signals": 0}, "/maximum_signals"),
    ],
)
def test_what_does_not_fit_is_named(connected: KeyedClient, change: dict[str, Any], pointer: str) -> None:
    answer = connected.put("/v1/feedback/policy", json={**POLICY, **change})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_without_a_goal_in_the_data_the_policy_waits(
    connected: KeyedClient, stores: Stores, project_id: int, clock: Clock
) -> None:
    put_policy(connected)
    assert choices(stores, project_id, clock) == {}


@pytest.mark.usefixtures("shop")
def test_a_predicted_value_is_sent_once_a_person_and_repeats_say_0(
    connected: KeyedClient, send_events: SendEvents, clock: Clock, sandbox: Sandbox
) -> None:
    connected.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    rule = {"event": "wish", "destinations": ["meta-main"], "minimum_weekly_events": 0}
    assert connected.put("/v1/signal-rules/wishes", json=rule).status_code == 200
    send_events(2, name="wish", user_id="ann")
    send_events(1, name="wish", user_id="bob")
    for _ in range(2):
        connected.post("/v1/signal-rules/wishes/backfill")
        connected.post("/v1/feedback/sync")
        clock.forward(minutes=1)
        send_events(1, name="wish", user_id="ann")
    values = [item["item"]["custom_data"]["value"] for item in sandbox.received("meta")]
    assert sorted(values)[:2] == [0.0, 0.0]
    assert sorted(values)[2] == sorted(values)[3] > 10
    assert len(values) == 4
