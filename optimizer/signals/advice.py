"""What to stop tracking, and which three to begin with: rules of thumb over the audit's numbers, each with a reason.

The practice: separate the goal from the steps towards it, begin with one process milestone, one secondary action and
one event that predicts the goal, and keep to 10 to 15; of fifty events that are tracked, ten are ever looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from optimizer.core.stats.words import p_words

RECOMMENDED_MAXIMUM = 15
SURELY = 0.05
# Steps towards a purchase as shops call them: what a milestone is before anybody has said so in the catalog.
KNOWN_MILESTONES = frozenset({"view_item", "add_to_cart", "view_cart", "begin_checkout", "add_shipping_info",
                              "add_payment_info", "form_start", "form_submit"})  # fmt: skip
ORDER = {"promote": 0, "keep": 1, "watch": 2, "drop": 3}
Reason = Literal["unused", "near_duplicate", "no_signal", "beyond_the_maximum"]
Role = Literal["predictor", "process_milestone", "secondary_action"]


class Drop(BaseModel):
    """One name to stop tracking."""

    event: str
    reason: Reason
    detail: str = Field(description="The reason with its numbers.")
    merge_into: str | None = Field(None, description="For a near-duplicate: the name to send instead.")


class Suggestion(BaseModel):
    """One of the three to begin with."""

    role: Role
    event: str
    detail: str = Field(description="Why this one, with its numbers.")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A micro conversion with what speaks for and against it.

    Attributes:
        event: Canonical name.
        kind: From the catalog.
        occurrences: Within the period.
        units: That did it within the period.
        used_by: What of ours reads it.
        recommendation: Of the ranking; None where it was not ranked.
        lift: Of the ranking, with its interval and the q-value.
        phi: Correlation of doing it with reaching the goal.
        funnel_step: Nearly every converter passes through it.
    """

    event: str
    kind: str | None
    occurrences: int
    units: int
    used_by: tuple[str, ...] = ()
    recommendation: str | None = None
    lift: float | None = None
    lift_interval: tuple[float, float] | None = None
    q_value: float | None = None
    phi: float | None = None
    funnel_step: bool = False


def what_to_drop(
    candidates: Sequence[Candidate], days_silent: Mapping[str, int], merges: Mapping[str, str]
) -> list[Drop]:
    """Say what to stop tracking.

    Args:
        candidates: Every micro conversion.
        days_silent: Of those that nobody sends any more.
        merges: Near-duplicate to the name that is sent more often.

    Returns:
        At most one reason per name, the plainest first. What something of ours reads is never dropped for being
        silent, meaningless or one too many: only as a near-duplicate. Nor are process milestones for the last two:
        they say where people are lost.
    """
    drops = []
    rest = []
    for one in candidates:
        found = _plain_reason(one, days_silent, merges)
        if found is not None:
            drops.append(found)
        elif one.occurrences:
            rest.append(one)
    kept = sorted(rest, key=lambda one: (not _has_a_use(one), *_worth(one)))  # what is used takes its places first
    for place, one in enumerate(kept[RECOMMENDED_MAXIMUM:], RECOMMENDED_MAXIMUM + 1):
        if not _has_a_use(one):
            detail = f"Number {place} of {len(rest)} by what it tells, and nothing uses it; {_numbers(one)}."
            drops.append(Drop(event=one.event, reason="beyond_the_maximum", detail=detail))
    return drops


def start_set(candidates: Sequence[Candidate]) -> list[Suggestion]:
    """Suggest one event that predicts the goal, one process milestone and one secondary action.

    Args:
        candidates: Micro conversions worth keeping.

    Returns:
        Up to three, each another event. Without a ranking the milestone and the action are those most people do.
    """
    sent = sorted((one for one in candidates if one.occurrences), key=_worth)
    proven = [one for one in sent if _predicts(one)]
    milestones = [one for one in sent if _is_milestone(one)]
    chosen: list[Suggestion] = []
    predictor = next((one for one in proven if not _is_milestone(one)), next(iter(proven), None))
    if predictor is not None:
        detail = f"Predicts the goal best among {len(sent)} events; {_numbers(predictor)}."
        chosen.append(Suggestion(role="predictor", event=predictor.event, detail=detail))
    taken = {one.event for one in chosen}
    roles: tuple[tuple[Role, list[Candidate], str], ...] = (
        ("process_milestone", milestones, "The step towards the goal that tells most about who arrives"),
        ("secondary_action", [one for one in sent if not _is_milestone(one)], "Shows interest beside the path"),
    )
    for role, fitting, why in roles:
        free = [one for one in fitting if one.event not in taken]
        best = max(free, key=lambda one: (abs(one.phi or 0.0), one.units, one.occurrences, one.event), default=None)
        if best is not None:
            chosen.append(Suggestion(role=role, event=best.event, detail=f"{why}; {_numbers(best)}."))
            taken.add(best.event)
    return chosen


def _plain_reason(one: Candidate, silent: Mapping[str, int], merges: Mapping[str, str]) -> Drop | None:
    if one.event in merges:
        into = merges[one.event]
        detail = f"Looks like {into}, which is sent more often; {_numbers(one)}."
        return Drop(event=one.event, reason="near_duplicate", detail=detail, merge_into=into)
    if one.used_by:
        return None
    if one.event in silent:
        detail = f"Not sent for {silent[one.event]} days, and nothing uses it."
        return Drop(event=one.event, reason="unused", detail=detail)
    if one.recommendation == "drop" and not _is_milestone(one):
        return Drop(event=one.event, reason="no_signal", detail=f"Tells nothing about the goal; {_numbers(one)}.")
    return None


def _has_a_use(one: Candidate) -> bool:
    # Milestones say where people are lost, whether they predict anything or not.
    return bool(one.used_by) or _is_milestone(one)


def _predicts(one: Candidate) -> bool:
    proven = one.q_value is not None and one.q_value <= SURELY and one.lift_interval is not None
    return proven and not one.funnel_step and one.lift_interval is not None and one.lift_interval[0] > 1


def _is_milestone(one: Candidate) -> bool:
    if one.kind is not None:
        return one.kind == "process_milestone"
    return one.funnel_step or one.event in KNOWN_MILESTONES


def _worth(one: Candidate) -> tuple[int, float, int, str]:
    lower = one.lift_interval[0] if one.lift_interval else 0.0
    return ORDER.get(one.recommendation or "watch", 2), -lower, -one.occurrences, one.event


def _numbers(one: Candidate) -> str:
    counted = f"{one.occurrences} occurrences by {one.units} units"
    if one.lift is None or one.lift_interval is None:
        return counted
    low, high = one.lift_interval
    q_value = f", {p_words(one.q_value, name='q')}" if one.q_value is not None else ""
    return f"{counted}, lift {one.lift:.2f} (95% interval {low:.2f} to {high:.2f}){q_value}"
