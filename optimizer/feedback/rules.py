"""Signal rules: which event goes to which destinations, under which name, at which value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.feedback.accounts import list_destinations
from optimizer.feedback.states import cancel
from optimizer.signals.asked import WINDOW_DAYS, terms_of
from optimizer.storage.tables import DeliveryRecord, SignalRule

Key = Annotated[str, Field(min_length=1, max_length=100)]
Mode = Literal["predicted", "property", "fixed", "none"]
Margin = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Share of a `predicted` value or of a `property` that is told: what of it is earned.",
    ),
]
Maximum = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
CAP = (
    "The most that one occurrence is told at, after the margin, in the project's currency; a `property` in another "
    "currency is then sent without a value."
)
WindowDays = Annotated[
    int,
    Field(
        ge=1,
        le=90,
        description="For `predicted`: what people bring this long after the first event counts. Of the rules of one "
        "destination the longest holds for all.",
    ),
]


class RuleValue(BaseModel):
    """What the platform is told an occurrence is worth."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Field(
        "predicted", description="predicted from past units, the event's own value, a fixed amount, or no value."
    )
    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(None, description="For `fixed`.")
    margin: Margin = 1.0
    maximum: Maximum | None = Field(None, description=CAP)
    window_days: WindowDays = WINDOW_DAYS


class RuleRequest(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid")

    event: str = Field(min_length=1, max_length=200, description="The event to send.")
    destinations: list[Key] = Field(min_length=1, max_length=20, description="Keys of destinations.")
    platform_event: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="Name at the platform; null uses its standard name."
    )
    role: Literal["secondary"] = Field("secondary", description="What it is for; see docs/feedback.md.")
    value: RuleValue = Field(default_factory=RuleValue)
    minimum_weekly_events: int = Field(50, ge=0, le=10**9, description="Below it, events are skipped with a reason.")
    enabled: bool = True


class RuleAnswer(RuleRequest):
    """One stored rule."""

    key: str
    managed_by_policy: bool
    created_at: dt.datetime
    updated_at: dt.datetime


def put_rule(
    session: Session, project_id: int, key: str, request: RuleRequest, *, last_sequence: int, now: dt.datetime
) -> RuleAnswer:
    """Create or replace a rule; a new one covers what is received from now on.

    Args:
        session: An open write transaction.
        project_id: Whose rule.
        key: Its key.
        request: The rule.
        last_sequence: The newest stored event: the rule begins after it.
        now: When.

    Raises:
        InvalidInputError: A destination is unknown, a fixed value has no amount, or another has margin or cap.
    """
    check_destinations(session, project_id, request.destinations)
    if (request.value.mode == "fixed") != (request.value.amount is not None):
        raise InvalidInputError.at(
            "/value/amount", "amount", "`amount` goes with the mode `fixed`, and only with it."
        )
    check_terms("/value", request.value.mode, request.value.margin, request.value.maximum, request.value.window_days)
    event = canonical_name(request.event)
    if not event:
        raise InvalidInputError.at("/event", "empty_name", "The event's name must contain a letter or a digit.")
    row = _find(session, project_id, key)
    if row is None:
        row = SignalRule(
            project_id=project_id, key=key, event=event, starts_after_sequence=last_sequence, created_at=now
        )
    row.event = event
    row.destinations, row.platform_event, row.role = request.destinations, request.platform_event, request.role
    row.value, row.managed_by_policy = request.value.model_dump(), False  # what a person wrote, a person keeps
    row.minimum_weekly_events, row.enabled, row.updated_at = request.minimum_weekly_events, request.enabled, now
    session.add(row)
    session.flush()
    return answer(row)


def check_destinations(session: Session, project_id: int, keys: Sequence[str]) -> None:
    """Refuse keys that are no destination of the project.

    Raises:
        InvalidInputError: Names the first unknown one and lists the known ones.
    """
    known = {row.key for row in list_destinations(session, project_id)}
    for place, destination in enumerate(keys):
        if destination not in known:
            shown = ", ".join(sorted(known)) or "none yet: PUT /v1/destinations/{key} makes one"
            detail = f"This project has no such destination. Known are: {shown}."
            raise InvalidInputError.at(f"/destinations/{place}", "unknown_destination", detail)


def check_terms(at: str, mode: Mode, margin: float, maximum: float | None, window_days: int) -> None:
    """Refuse terms that a mode does not have, so that nobody believes they hold.

    Args:
        at: Where the fields are.
        mode: What the value is made of.
        margin: 1 where there is none.
        maximum: None where there is none.
        window_days: 30 where there is none.

    Raises:
        InvalidInputError: Names the field and the modes that have it.
    """
    scaled = mode in {"predicted", "property"}
    refused = (
        ("margin", margin != 1 and not scaled, "predicted` and `property"),
        ("maximum", maximum is not None and not scaled, "predicted` and `property"),
        ("window_days", window_days != WINDOW_DAYS and mode != "predicted", "predicted"),
    )
    for name, wrong, modes in refused:
        if wrong:
            detail = f"`{name}` goes with the mode `{modes}`; here it is `{mode}`."
            raise InvalidInputError.at(f"{at}/{name}", name, detail)


def delete_rule(session: Session, project_id: int, key: str, *, now: dt.datetime) -> None:
    """Delete a rule and skip what it has queued; what was sent stays readable.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = get_rule(session, project_id, key)
    cancel(
        session,
        DeliveryRecord.project_id == project_id,
        DeliveryRecord.rule_key == key,
        reason="rule deleted",
        now=now,
    )
    session.delete(row)


def get_rule(session: Session, project_id: int, key: str) -> SignalRule:
    """Read one rule.

    Raises:
        NotFoundError: The project has none with this key.
    """
    row = _find(session, project_id, key)
    if row is None:
        raise NotFoundError("This project has no rule with that key. GET /v1/signal-rules lists them.")
    return row


def list_rules(session: Session, project_id: int, *, enabled_only: bool = False) -> list[SignalRule]:
    """Read a project's rules by key."""
    rows = session.exec(select(SignalRule).where(SignalRule.project_id == project_id).order_by(SignalRule.key))
    return [row for row in rows if row.enabled or not enabled_only]


def answer(row: SignalRule) -> RuleAnswer:
    """Show a rule."""
    fields = {name: getattr(row, name) for name in RuleAnswer.model_fields if name != "value"}
    value = {name: row.value[name] for name in RuleValue.model_fields if name in row.value}
    return RuleAnswer(**fields, value=RuleValue(**value))


def told_in_words(rule: SignalRule) -> str:
    """Say what a rule's values are made of, for a person who looks at one."""
    mode, terms = rule.value.get("mode", "none"), terms_of(rule.value)
    base = {"predicted": "predicted", "property": "the event's own value", "fixed": "fixed", "none": "no value"}[mode]
    share = f" × margin {terms.margin:g}" if terms.margin != 1 else ""
    cap = "" if terms.maximum is None else f", at most {terms.maximum:g}"
    increment = ", less what was told of the person before" if mode == "predicted" else ""
    return f"{base}{share}{cap}{increment}"


def _find(session: Session, project_id: int, key: str) -> SignalRule | None:
    return session.exec(select(SignalRule).where(SignalRule.project_id == project_id, SignalRule.key == key)).first()
