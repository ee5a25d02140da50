"""The policy: a standing order that chooses which micro conversions the platforms learn from, and says why.

Hysteresis is the point. A platform relearns whenever the signals change, so a chosen event stays for 14 days unless
it fails a hard gate (its volume), and every change is stored with its figures and reasons.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from optimizer.core.naming import canonical_name
from optimizer.core.stats.words import p_words
from optimizer.errors import NotFoundError
from optimizer.feedback.outbox import last_sequence, weekly_counts
from optimizer.feedback.ranked import current_ranking, ranked_at
from optimizer.feedback.rules import (
    CAP,
    Key,
    Margin,
    Maximum,
    WindowDays,
    check_destinations,
    check_terms,
    list_rules,
)
from optimizer.signals.answers import Signal, SignalsAnswer, SignalsRequest
from optimizer.signals.asked import WINDOW_DAYS
from optimizer.storage.stores import Stores
from optimizer.storage.tables import FeedbackPolicy, PolicyChoice, SignalRule

HYSTERESIS = dt.timedelta(days=14)
SHOWN_CHOICES = 50
FIGURES = ("lift", "lift_interval", "q_value", "units", "expected_value", "recommendation")
Action = Literal["chosen", "kept", "dropped", "passed_over"]


def _cron(expression: str) -> str:
    CronTrigger.from_crontab(expression)  # raises ValueError, which names the part that does not fit
    return expression


class PolicyRequest(BaseModel):
    """The standing order."""

    model_config = ConfigDict(extra="forbid")

    goal: str = Field(min_length=1, max_length=200, description="The event that the signals should predict.")
    destinations: list[Key] = Field(min_length=1, max_length=20, description="Keys of destinations.")
    maximum_signals: int = Field(3, ge=1, le=20, description="How many events at most.")
    minimum_q: float = Field(
        0.05, gt=0, le=1, allow_inf_nan=False, description="The largest q-value (Benjamini-Hochberg) that counts."
    )
    minimum_weekly_events: int = Field(50, ge=0, le=10**9, description="Volume gate, in events of the last 7 days.")
    value: Literal["predicted", "property", "none"] = Field("predicted", description="What an occurrence is worth.")
    margin: Margin = 1.0
    maximum: Maximum | None = Field(None, description=CAP)
    window_days: WindowDays = WINDOW_DAYS
    schedule: Annotated[str, AfterValidator(_cron)] = Field(
        "*/15 * * * *", max_length=100, description="When runs happen: five-field cron expression, UTC."
    )
    enabled: bool = True


class ChoiceAnswer(BaseModel):
    """One choice, with what it was made of."""

    at: dt.datetime
    event: str
    action: Action
    reasons: list[str]
    figures: dict[str, Any]


class PolicyAnswer(PolicyRequest):
    """The standing order and what it has chosen lately."""

    updated_at: dt.datetime
    ranked_at: dt.datetime | None = Field(
        description="When the figures were made that it chooses by: once a day. Null: nothing could be ranked yet."
    )
    choices: list[ChoiceAnswer] = Field(description=f"The last {SHOWN_CHOICES}, newest first.")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the policy does about one event.

    Attributes:
        event: Canonical name.
        action: chosen, kept, dropped or passed_over.
        reason: One sentence for a person.
        figures: The numbers it was decided on.
    """

    event: str
    action: Action
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def put_policy(session: Session, project_id: int, request: PolicyRequest, *, now: dt.datetime) -> PolicyAnswer:
    """Create or replace the policy.

    Raises:
        InvalidInputError: A destination is unknown, or the value has no margin, cap or window.
    """
    check_destinations(session, project_id, request.destinations)
    check_terms("", request.value, request.margin, request.maximum, request.window_days)
    row = session.get(FeedbackPolicy, project_id) or FeedbackPolicy(project_id=project_id, goal="")
    for name, value in request.model_dump().items():
        setattr(row, name, value)
    row.goal, row.updated_at = canonical_name(request.goal), now
    session.add(row)
    session.flush()
    return read_policy(session, project_id)


def read_policy(session: Session, project_id: int) -> PolicyAnswer:
    """Read the policy and its latest choices.

    Raises:
        NotFoundError: There is none.
    """
    row = session.get(FeedbackPolicy, project_id)
    if row is None:
        raise NotFoundError("This project has no feedback policy. PUT /v1/feedback/policy makes one.")
    latest = session.exec(
        select(PolicyChoice)
        .where(PolicyChoice.project_id == project_id)
        .order_by(col(PolicyChoice.id).desc())
        .limit(SHOWN_CHOICES)
    )
    fields = {name: getattr(row, name) for name in (*PolicyRequest.model_fields, "updated_at")}
    shown = [{name: getattr(choice, name) for name in ChoiceAnswer.model_fields} for choice in latest]
    choices = [ChoiceAnswer(**choice) for choice in shown]
    return PolicyAnswer(**fields, ranked_at=ranked_at(session, project_id), choices=choices)


def maintain_rules(stores: Stores, project_id: int, *, now: dt.datetime) -> list[Choice]:
    """Let the policy look at the newest figures and make, keep or drop its rules.

    Returns:
        Every choice, also those that change nothing; empty without an enabled policy or a goal.
    """
    with stores.control.reading() as session:
        policy = session.get(FeedbackPolicy, project_id)
        rules = list_rules(session, project_id)
    managed = {rule.event: rule for rule in rules if rule.managed_by_policy}
    persons = frozenset(rule.event for rule in rules if not rule.managed_by_policy)
    if policy is None or not policy.enabled:
        return []
    try:
        request = SignalsRequest(goal=policy.goal, window_days=policy.window_days)
        ranking = current_ranking(stores, project_id, request, now=now)
    except NotFoundError:
        return []
    names = {signal.event for signal in ranking.signals} | managed.keys()
    weekly = weekly_counts(stores.events, project_id, names, now=now)
    enabled = {event: rule for event, rule in managed.items() if rule.enabled}
    choices = choose(policy, ranking, weekly, enabled, persons=persons, now=now)
    with stores.control.session() as session:
        _apply(session, policy, choices, managed, last_sequence(stores.events, project_id), now)
        _record(session, project_id, choices, now)
    return choices


def choose(
    policy: FeedbackPolicy,
    ranking: SignalsAnswer,
    weekly: Mapping[str, int],
    managed: Mapping[str, SignalRule],
    *,
    persons: frozenset[str] = frozenset(),
    now: dt.datetime,
) -> list[Choice]:
    """Decide, without changing anything.

    Args:
        policy: The standing order.
        ranking: Signals, best first.
        weekly: Occurrences of each event in the last seven days.
        managed: The policy's enabled rules, by event.
        persons: Events with a rule that a person wrote: the policy leaves those alone.
        now: When.
    """
    signals = {signal.event: signal for signal in ranking.signals}
    choices = [
        _about_managed(policy, signals.get(event), weekly.get(event, 0), rule, now) for event, rule in managed.items()
    ]
    free = policy.maximum_signals - sum(choice.action == "kept" for choice in choices)
    for signal in ranking.signals:
        if signal.event in managed or signal.event == policy.goal:
            continue
        against = _against(policy, signal, weekly.get(signal.event, 0))
        if signal.event in persons:
            against = "A rule that a person wrote covers this event."
        if against is None and free > 0:
            free -= 1
            choices.append(Choice(signal.event, "chosen", signal.reasons[0], _figures(signal, weekly)))
        else:
            reason = against or f"Fits, but the policy keeps at most {policy.maximum_signals} signals."
            choices.append(Choice(signal.event, "passed_over", reason, _figures(signal, weekly)))
    return choices


def _about_managed(
    policy: FeedbackPolicy, signal: Signal | None, weekly: int, rule: SignalRule, now: dt.datetime
) -> Choice:
    figures = _figures(signal, {rule.event: weekly}) if signal else {"weekly_events": weekly}
    if weekly < policy.minimum_weekly_events:
        reason = f"Too few events for a platform to learn from: {weekly} of {policy.minimum_weekly_events} a week."
        return Choice(rule.event, "dropped", reason, figures)
    against = _against(policy, signal, weekly) if signal else "No unit at risk did it any more."
    until = (rule.chosen_at or rule.created_at) + HYSTERESIS
    if against is not None and now < until:
        reason = f"Stays until {until.date()} so that the platforms do not relearn; would be dropped: {against}"
        return Choice(rule.event, "kept", reason, figures)
    if against is not None:
        return Choice(rule.event, "dropped", against, figures)
    return Choice(rule.event, "kept", signal.reasons[0] if signal else "", figures)


def _against(policy: FeedbackPolicy, signal: Signal, weekly: int) -> str | None:
    if signal.q_value is None or signal.lift is None:
        return "Its figures cannot be computed yet."
    few = f"Too few events for a platform to learn from: {weekly} of {policy.minimum_weekly_events} a week."
    faults = (
        (signal.funnel_step or signal.recommendation in {"keep", "drop"}, signal.reasons[0]),
        (signal.q_value > policy.minimum_q, f"{p_words(signal.q_value, name='q')} is above {policy.minimum_q:g}."),
        (signal.lift <= 1, f"Units that did it convert less often: lift {signal.lift:.2f}."),
        (weekly < policy.minimum_weekly_events, few),
    )
    return next((reason for holds, reason in faults if holds), None)


def _figures(signal: Signal, weekly: Mapping[str, int]) -> dict[str, Any]:
    figures = {name: getattr(signal, name) for name in FIGURES}
    return {**figures, "weekly_events": weekly.get(signal.event, 0)}


def _apply(  # noqa: PLR0917 - the parts of one transaction
    session: Session,
    policy: FeedbackPolicy,
    choices: Sequence[Choice],
    managed: Mapping[str, SignalRule],
    last: int,
    now: dt.datetime,
) -> None:
    for choice in choices:
        row = managed.get(choice.event)
        if choice.action == "chosen":
            row = row or SignalRule(
                project_id=policy.project_id,
                key=f"policy-{choice.event}"[:100],
                event=choice.event,
                managed_by_policy=True,
                created_at=now,
            )
            row.enabled, row.chosen_at, row.starts_after_sequence = True, now, last
        elif row is not None and choice.action == "dropped":
            row.enabled = False
        if row is not None:
            row.destinations, row.value = policy.destinations, _value(policy)
            row.minimum_weekly_events, row.updated_at = policy.minimum_weekly_events, now
            session.add(row)


def _value(policy: FeedbackPolicy) -> dict[str, Any]:
    terms = {name: getattr(policy, name) for name in ("margin", "maximum", "window_days")}
    return {"mode": policy.value, **terms}


def _record(session: Session, project_id: int, choices: Sequence[Choice], now: dt.datetime) -> None:
    # Only what changed: a run every 15 minutes that decides the same is not a new choice.
    latest: dict[str, str] = {}
    rows = session.exec(
        select(PolicyChoice).where(PolicyChoice.project_id == project_id).order_by(col(PolicyChoice.id))
    )
    for row in rows:
        latest[row.event] = row.action
    for choice in choices:
        if choice.action == latest.get(choice.event):
            continue
        session.add(
            PolicyChoice(
                project_id=project_id,
                at=now,
                event=choice.event,
                action=choice.action,
                reasons=[choice.reason],
                figures=dict(choice.figures),
            )
        )
