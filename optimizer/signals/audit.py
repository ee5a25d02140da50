"""The catalog audit: what is tracked and should not be, what is tracked badly, and what to begin with.

A catalog grows by itself: every name that was ever sent is listed. The audit says what that costs (names nobody
sends, names that split one thing in two, properties that are missing) and, with the ranking beside it, which few
events are worth keeping. It proposes; people decide.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from optimizer.catalog.definitions import DefinitionAnswer, Kind, list_definitions
from optimizer.catalog.similar import Why, near_duplicates
from optimizer.core.naming import canonical_name
from optimizer.errors import NotFoundError
from optimizer.signals.advice import (
    RECOMMENDED_MAXIMUM,
    Candidate,
    Drop,
    Suggestion,
    start_set,
    what_to_drop,
)
from optimizer.signals.answers import CAVEAT, Signal, SignalsRequest
from optimizer.signals.goal import default_goal
from optimizer.signals.service import rank_signals
from optimizer.signals.usage import Traffic, readers, traffic, units_of_both
from optimizer.storage.stores import Stores

DAYS = 90
SHOWN_PAIRS = 50


class AuditRequest(BaseModel):
    """What to audit against."""

    model_config = ConfigDict(extra="forbid")

    goal: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Rank events by it; by default the policy's goal or the only macro conversion.",
    )
    days: int = Field(DAYS, ge=1, le=3650, description="Not sent for so many days is unused.")


class AuditedEvent(BaseModel):
    """One name with its numbers."""

    event: str
    kind: Kind | None = Field(description="From the catalog.")
    status: Literal["active", "proposed", "deprecated"]
    occurrences: int = Field(description="Within the period, totals of cookieless tools included.")
    units: int = Field(description="Units that did it within the period.")
    last_sent_at: dt.datetime | None
    used_by: list[str] = Field(
        description="Metrics, live experiments, enabled signal rules and segments that read it."
    )
    recommendation: str | None = Field(description="Of the ranking; null where it was not ranked.")
    lift: float | None
    lift_interval: tuple[float, float] | None
    q_value: float | None


class Unused(BaseModel):
    """A name that nobody sends."""

    event: str
    last_sent_at: dt.datetime | None = Field(description="Null: never.")
    days_silent: int = Field(description="Since it was last sent or, never sent, since it was catalogued.")
    used_by: list[str] = Field(description="What waits for it: a broken tracker, more likely than a dead name.")


class MergedSpellings(BaseModel):
    """Spellings that were sent and merged into one name."""

    event: str
    spellings: list[str]
    occurrences: int = Field(description="Of the name within the period, under any spelling.")


class NearDuplicate(BaseModel):
    """Two names that look like one."""

    events: tuple[str, str]
    why: Why
    edits: int = Field(description="Letters to change to get from one to the other.")
    occurrences: tuple[int, int] = Field(description="Within the period.")
    units_of_both: int = Field(description="Units that did both, ever; 0 speaks for one thing sent under two names.")
    keep: str = Field(description="The one sent more often.")


class MissingProperties(BaseModel):
    """A name whose context is missing."""

    event: str
    required: list[str] = Field(description="Properties the catalog requires; empty: none is, so nothing is learned.")
    occurrences: int
    missing: int = Field(description="Occurrences that lacked a required property.")
    share: float | None = Field(description="missing / occurrences; null without occurrences.")


class Amount(BaseModel):
    """How many micro conversions there are to look at."""

    active: int = Field(description="Catalogued as active, and not macro.")
    proposed: int = Field(description="Sent within the period but never catalogued.")
    total: int
    recommended_maximum: int = RECOMMENDED_MAXIMUM
    excess: int = Field(description="How many too many; 0 when within the maximum.")


class AuditAnswer(BaseModel):
    """The audit."""

    as_of: dt.datetime
    days: int
    goal: str | None
    ranking: str = Field(description="Of the ranking behind the advice: ok, or why there is none.")
    caveat: str = CAVEAT
    names: int = Field(description="Known names, deprecated ones included.")
    micro_conversions: Amount
    unused: list[Unused]
    deprecated_but_sent: list[str]
    merged_spellings: list[MergedSpellings]
    near_duplicates: list[NearDuplicate]
    missing_properties: list[MissingProperties]
    drop: list[Drop] = Field(description="What to stop tracking, worst first.")
    start_set: list[Suggestion] = Field(description="Three to begin with; fewer where fewer can be told.")
    events: list[AuditedEvent] = Field(description="Every name, most sent first.")


def audit_catalog(stores: Stores, project_id: int, request: AuditRequest, *, now: dt.datetime) -> AuditAnswer:
    """Audit a project's catalog.

    Raises:
        NotFoundError: A goal was asked for that nobody ever sent.
    """
    since = now - dt.timedelta(days=request.days)
    with stores.control.reading() as session:
        definitions = list_definitions(session, project_id)
        used = readers(session, project_id)
        goal = canonical_name(request.goal) if request.goal else default_goal(session, project_id)
    sent = traffic(stores.events, project_id, since=since, until=now)
    ranking, signals = _ranked(stores, project_id, goal, asked=request.goal is not None, now=now)
    events = [_event(one, sent.get(one.name, Traffic()), used.get(one.name, []), signals) for one in definitions]
    events.sort(key=lambda event: (-event.occurrences, event.event))
    silent = _unused(definitions, events, since=since, now=now)
    pairs = _pairs(stores, project_id, events)
    candidates = _candidates(events, signals, goal)
    drops = what_to_drop(candidates, {one.event: one.days_silent for one in silent}, _merges(pairs))
    dropped = {drop.event for drop in drops}
    return AuditAnswer(
        as_of=now,
        days=request.days,
        goal=goal,
        ranking=ranking,
        names=len(events),
        micro_conversions=_amount(events, goal),
        unused=silent,
        deprecated_but_sent=[one.event for one in events if one.status == "deprecated" and one.occurrences],
        merged_spellings=_spellings(definitions, sent),
        near_duplicates=pairs,
        missing_properties=_missing(definitions, sent),
        drop=drops,
        start_set=start_set([one for one in candidates if one.event not in dropped]),
        events=events,
    )


def _ranked(
    stores: Stores, project_id: int, goal: str | None, *, asked: bool, now: dt.datetime
) -> tuple[str, dict[str, Signal]]:
    if goal is None:
        return "There is no goal to rank by: catalog one macro conversion, or ask with ?goal=.", {}
    try:
        answer = rank_signals(stores, project_id, SignalsRequest(goal=goal), now=now)
    except NotFoundError:
        if asked:
            raise
        return f"Nobody ever sent the goal {goal}.", {}
    if answer.status != "ok":
        return f"The goal {goal} cannot be ranked by yet: {answer.status.replace('_', ' ')}.", {}
    return "ok", {signal.event: signal for signal in answer.signals}


def _event(
    definition: DefinitionAnswer, sent: Traffic, used_by: list[str], signals: dict[str, Signal]
) -> AuditedEvent:
    signal = signals.get(definition.name)
    return AuditedEvent(
        event=definition.name,
        kind=definition.kind,
        status=definition.status,
        occurrences=sent.occurrences,
        units=sent.units,
        last_sent_at=sent.last_at,
        used_by=used_by,
        recommendation=signal.recommendation if signal else None,
        lift=signal.lift if signal else None,
        lift_interval=signal.lift_interval if signal else None,
        q_value=signal.q_value if signal else None,
    )


def _is_micro(event: AuditedEvent, goal: str | None) -> bool:
    return event.kind != "macro" and event.event != goal and event.status != "deprecated"


def _amount(events: list[AuditedEvent], goal: str | None) -> Amount:
    micro = [event for event in events if _is_micro(event, goal)]
    active = sum(event.status == "active" for event in micro)
    proposed = sum(event.status == "proposed" and event.occurrences > 0 for event in micro)
    excess = max(0, active + proposed - RECOMMENDED_MAXIMUM)
    return Amount(active=active, proposed=proposed, total=active + proposed, excess=excess)


def _unused(
    definitions: list[DefinitionAnswer], events: list[AuditedEvent], *, since: dt.datetime, now: dt.datetime
) -> list[Unused]:
    made = {one.name: one.created_at for one in definitions}
    silent = []
    for event in events:
        last = event.last_sent_at or made[event.event]  # a name catalogued ahead of its launch has time to be sent
        if event.status != "deprecated" and not event.occurrences and last < since:
            silent.append(
                Unused(
                    event=event.event,
                    last_sent_at=event.last_sent_at,
                    days_silent=(now - last).days,
                    used_by=event.used_by,
                )
            )
    return sorted(silent, key=lambda one: (-one.days_silent, one.event))


def _spellings(definitions: list[DefinitionAnswer], sent: dict[str, Traffic]) -> list[MergedSpellings]:
    return [
        MergedSpellings(
            event=one.name, spellings=one.spellings, occurrences=sent.get(one.name, Traffic()).occurrences
        )
        for one in definitions
        if one.spellings
    ]


def _pairs(stores: Stores, project_id: int, events: list[AuditedEvent]) -> list[NearDuplicate]:
    counted = {event.event: event.occurrences for event in events if event.status != "deprecated"}
    found = []
    pairs = near_duplicates(counted)[:SHOWN_PAIRS]
    both = units_of_both(stores.events, project_id, [pair.names for pair in pairs])
    for pair, units in zip(pairs, both, strict=True):
        one, other = pair.names
        found.append(
            NearDuplicate(
                events=pair.names,
                why=pair.why,
                edits=pair.edits,
                occurrences=(counted[one], counted[other]),
                units_of_both=units,
                keep=one if counted[one] >= counted[other] else other,
            )
        )
    return found


def _merges(pairs: list[NearDuplicate]) -> dict[str, str]:
    merges = {}
    for pair in pairs:
        [other] = [name for name in pair.events if name != pair.keep]
        merges[other] = pair.keep
    return {name: _end(merges, name) for name in merges}


def _end(merges: dict[str, str], name: str) -> str:
    seen: set[str] = set()
    while name in merges and name not in seen:
        seen.add(name)
        name = merges[name]
    return name


def _missing(definitions: list[DefinitionAnswer], sent: dict[str, Traffic]) -> list[MissingProperties]:
    found = []
    for one in definitions:
        seen = sent.get(one.name, Traffic())
        bare = one.status == "active" and not one.required_properties
        if (bare and seen.occurrences) or seen.missing_property:
            share = seen.missing_property / seen.occurrences if seen.occurrences else None
            found.append(
                MissingProperties(
                    event=one.name,
                    required=sorted(one.required_properties),
                    occurrences=seen.occurrences,
                    missing=seen.missing_property,
                    share=share,
                )
            )
    return sorted(found, key=lambda item: (-(item.share or 0.0), item.event))


def _candidates(events: list[AuditedEvent], signals: dict[str, Signal], goal: str | None) -> list[Candidate]:
    found = []
    for event in events:
        if not _is_micro(event, goal):
            continue
        signal = signals.get(event.event)
        found.append(
            Candidate(
                event=event.event,
                kind=event.kind,
                occurrences=event.occurrences,
                units=event.units,
                used_by=tuple(event.used_by),
                recommendation=event.recommendation,
                lift=event.lift,
                lift_interval=event.lift_interval,
                q_value=event.q_value,
                phi=signal.phi if signal else None,
                funnel_step=signal.funnel_step if signal else False,
            )
        )
    return found
