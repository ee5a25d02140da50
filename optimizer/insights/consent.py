"""Conversions of visitors who denied consent, modelled: apart from what was observed, with an interval and a label.

A banner costs 20 to 40% of the data. What a visitor does without consent is stored without an identity, so visits are
known and journeys are not. `core.consent` scales up by source and device; here the sums are read, small strata are
pooled, and too little consent is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from optimizer.core.consent import (
    MINIMUM_CONVERSIONS,
    MINIMUM_SHARE,
    Modelled,
    model_strata,
)
from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.insights.consent_sums import Observed, Period, names_without_consent, sums_by_stratum
from optimizer.insights.consent_totals import VISIT, totals_by_stratum, whole_days
from optimizer.signals.goal import asked_goal, needed_goal
from optimizer.storage.stores import Stores

ASSUMPTION = (
    "Within one source and device, visits without consent convert as often as visits with it. The interval covers "
    "chance only; `sensitivity` shows what the figure becomes where the assumption is wrong."
)
RELATIVE_RATES = (0.5, 0.75, 1.0, 1.25)
SHOWN = 200
LONGEST = dt.timedelta(days=365)
EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)  # no tracker is older
Pair = tuple[float, float]
Basis = Literal["events", "totals"]
Status = Literal["ok", "counted", "no_denials", "too_few_conversions", "consented_share_too_small"]


class ConsentRequest(BaseModel):
    """Which goal, which time, and what counts as a visit."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    goal: str | None = Field(
        None, min_length=1, max_length=200, description="By default the policy's or the only macro conversion."
    )
    anchor: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="The event that marks a visit with and without consent; by default the one sent most without.",
    )
    basis: Basis | None = Field(
        None,
        description="How visits without consent are known: `events` that came without it, or the `totals` of a tool "
        "that counts everybody less those who consented. By default events where any came, else totals.",
    )
    start: AwareDatetime | None = Field(None, alias="from", description="By default 30 days before the end.")
    end: AwareDatetime | None = Field(None, alias="to", description="By default now.")


class ModelledConversions(BaseModel):
    """A modelled number; never part of an observed one."""

    label: Literal["modelled, not observed"] = "modelled, not observed"
    conversions: float
    interval: Pair
    level: float = 0.95


class Observation(BaseModel):
    """What was counted."""

    conversions: int = Field(description="Goal events of units: consent given, or never asked for.")
    conversions_without_consent: int = Field(description="Goal events that came without, hence of no unit.")
    visits: int = Field(description="Anchor events of units.")
    visits_without_consent: int
    consented_share: float | None = Field(description="Of visits.")


class StratumAnswer(BaseModel):
    """One source on one device."""

    source: str
    device: str
    units: int
    visits: int
    conversions: int
    rate: float | None = Field(description="Conversions per visit.")
    visits_without_consent: int
    consented_share: float | None
    modelled: ModelledConversions | None = Field(description="Null: pooled, or nothing to scale by.")
    pooled: bool = Field(description="Too small to stand alone: modelled together with the other small ones.")


class Check(BaseModel):
    """The assumption against what came without consent all the same."""

    observed: int
    modelled: float
    ratio: float | None = Field(description="observed / modelled: how visits without consent really convert.")


class Sensitivity(BaseModel):
    """What the figure becomes if visits without consent convert at another rate."""

    relative_rate: float
    conversions: float


class ConsentAnswer(BaseModel):
    """Observed and modelled conversions, side by side and never mixed."""

    model_config = ConfigDict(populate_by_name=True)

    goal: str
    basis: Basis
    anchor: str | None = Field(description="What marks a visit; of totals, a visitor on a day.")
    start: dt.datetime = Field(alias="from")
    end: dt.datetime = Field(alias="to")
    status: Status
    reason: str
    assumption: str = ASSUMPTION
    observed: Observation
    modelled: ModelledConversions | None
    check: Check | None
    sensitivity: list[Sensitivity]
    strata: list[StratumAnswer] = Field(description=f"Most visits without consent first, up to {SHOWN}.")
    strata_left_out: int = Field(description="Smaller ones that are in the total but not shown.")


def model_consent(stores: Stores, project_id: int, request: ConsentRequest, *, now: dt.datetime) -> ConsentAnswer:
    """Model the conversions of those who denied consent.

    Raises:
        NotFoundError: The goal is neither in the catalog nor was ever sent, or nobody sent the anchor in that time.
        InvalidInputError: The time ends before it begins or is longer than a year.
    """
    goal = _goal(stores, project_id, request)
    period = _period(request, now)
    known = names_without_consent(stores.events, project_id, period)
    if request.goal and goal not in known:
        needed_goal(stores, project_id, goal)
    anchor = _anchor(known, request, goal)
    rows: list[Observed] = []
    if request.basis == "totals" or (request.basis is None and not request.anchor and not any(known.values())):
        days = whole_days(period)
        rows = totals_by_stratum(stores.events, project_id, days, goal)
    basis: Basis = "totals" if rows or request.basis == "totals" else "events"
    if basis == "totals":
        anchor, period = VISIT, days
    elif anchor:
        rows = sums_by_stratum(stores.events, project_id, period, goal, anchor)
    rows.sort(key=lambda row: (-row.stratum.denied_visits, row.source, row.device))
    seen = _observation(rows)
    status, reason = _status(seen)
    total: Modelled | None = None
    parts: Sequence[Modelled | None] = [None] * len(rows)
    if status in {"ok", "counted"}:
        total, parts = model_strata([row.stratum for row in rows])
    return ConsentAnswer(
        goal=goal,
        basis=basis,
        anchor=anchor,
        start=period.start,
        end=period.end,
        status=status,
        reason=reason,
        observed=seen,
        modelled=_shown(total) if total else None,
        check=_check(seen, total) if total and status == "counted" else None,
        sensitivity=[
            Sensitivity(relative_rate=rate, conversions=rate * total.conversions) for rate in RELATIVE_RATES if total
        ],
        strata=[_stratum(row, part) for row, part in zip(rows[:SHOWN], parts, strict=False)],
        strata_left_out=max(0, len(rows) - SHOWN),
    )


def _goal(stores: Stores, project_id: int, request: ConsentRequest) -> str:
    with stores.control.reading() as session:
        return asked_goal(session, project_id, request.goal, "/query/goal")


def _period(request: ConsentRequest, now: dt.datetime) -> Period:
    end = min(request.end or now, now)
    if end < EARLIEST:
        raise InvalidInputError.at("/query/to", "too_early", f"`to` must not lie before {EARLIEST.year}.")
    start = request.start or end - dt.timedelta(days=30)
    if not start < end:
        raise InvalidInputError.at("/query/from", "empty_period", "`from` must lie before `to`, and before now.")
    if end - start > LONGEST:
        raise InvalidInputError.at("/query/from", "too_long", f"Ask for up to {LONGEST.days} days at a time.")
    return Period(start, end)


def _anchor(known: dict[str, int], request: ConsentRequest, goal: str) -> str | None:
    if request.anchor:
        anchor = canonical_name(request.anchor)
        if anchor not in known:
            raise NotFoundError(f"Nobody sent the anchor {anchor} in that time.")
        return anchor
    named = {name: times for name, times in known.items() if name != goal}
    return max(named, key=lambda name: (named[name], name), default=None)


def _observation(rows: list[Observed]) -> Observation:
    visits = int(sum(row.stratum.visits for row in rows))
    denied = int(sum(row.stratum.denied_visits for row in rows))
    return Observation(
        conversions=int(sum(row.stratum.conversions for row in rows)),
        conversions_without_consent=sum(row.denied_conversions for row in rows),
        visits=visits,
        visits_without_consent=denied,
        consented_share=visits / (visits + denied) if visits + denied else None,
    )


def _status(seen: Observation) -> tuple[Status, str]:
    share = seen.consented_share or 0.0
    if not seen.visits_without_consent:
        return "no_denials", "No visit without consent is known, so there is nothing to model."
    if share < MINIMUM_SHARE:
        return (
            "consented_share_too_small",
            f"{share:.0%} of visits consented; below {MINIMUM_SHARE:.0%} most of the total would be made up.",
        )
    if seen.conversions < MINIMUM_CONVERSIONS:
        return (
            "too_few_conversions",
            f"{seen.conversions} conversions with consent; a rate to scale by takes {MINIMUM_CONVERSIONS}.",
        )
    if seen.conversions_without_consent:
        counted = f"{seen.conversions_without_consent} goal events came without consent and are counted: "
        return "counted", f"{counted}the modelled number is not to be added to them, it checks the assumption."
    return "ok", f"{seen.visits_without_consent} visits without consent are scaled by those of the same stratum."


def _shown(modelled: Modelled) -> ModelledConversions:
    return ModelledConversions(conversions=modelled.conversions, interval=modelled.interval)


def _check(seen: Observation, total: Modelled) -> Check:
    ratio = seen.conversions_without_consent / total.conversions if total.conversions else None
    return Check(observed=seen.conversions_without_consent, modelled=total.conversions, ratio=ratio)


def _stratum(row: Observed, modelled: Modelled | None) -> StratumAnswer:
    sums = row.stratum
    return StratumAnswer(
        source=row.source,
        device=row.device,
        units=sums.units,
        visits=int(sums.visits),
        conversions=int(sums.conversions),
        rate=sums.conversions / sums.visits if sums.visits else None,
        visits_without_consent=int(sums.denied_visits),
        consented_share=sums.share,
        modelled=_shown(modelled) if modelled else None,
        pooled=not sums.is_large_enough,
    )
