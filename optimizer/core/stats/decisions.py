"""Turns figures into one of four actions, with reasons a person can check.

The order is the rule: broken data first, then harm (to the goal too, where the primary metric stands in for it), then
success with every guardrail, then the end of the plan.
`guardrails` says when a guardrail holds and when it is broken (statistics page, "Decisions").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from optimizer.core.stats.findings import Comparison
from optimizer.core.stats.guardrails import Guardrail, non_inferiority
from optimizer.core.stats.words import p_words, signed

__all__ = ["Action", "Candidate", "Check", "Decision", "Guardrail", "decide", "non_inferiority"]
Action = Literal["ship", "stop", "continue", "investigate"]


@dataclass(frozen=True, slots=True)
class Check:
    """One health check.

    Attributes:
        name: For example ``srm``.
        passed: False makes the decision `investigate`, where it holds back.
        p_value: Where the check has one.
        detail: One sentence with its numbers.
        holds_back: Whether a decision waits for it; else it warns and no more.
    """

    name: str
    passed: bool
    detail: str
    p_value: float | None = None
    holds_back: bool = True

    @property
    def red(self) -> bool:
        """Whether nothing may be decided."""
        return self.holds_back and not self.passed


@dataclass(frozen=True, slots=True)
class Goal:
    """What one arm does to the goal that the primary metric stands in for.

    Attributes:
        comparison: Of the arm on the goal.
        increase_is_good: Direction of the goal.
        harm_p_value: `guardrails.harm_p_value` of the goal, where it was watched for harm.
    """

    comparison: Comparison
    increase_is_good: bool = True
    harm_p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One arm that might be shipped.

    Attributes:
        primary: Its comparison on the primary metric.
        increase_is_good: Direction of the primary metric.
        guardrails: Judged guardrails.
        harm_p_value: `guardrails.harm_p_value` of the primary, where it was watched for harm.
        harm_alpha: The error rate to hold it against.
        goal: What it does to the goal, where the primary metric is a proxy.
    """

    primary: Comparison
    increase_is_good: bool = True
    guardrails: Sequence[Guardrail] = ()
    harm_p_value: float | None = None
    harm_alpha: float = 0.01
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why.

    Attributes:
        action: What to do.
        reasons: One sentence each, naming numbers.
        variant: The arm to ship.
        more_units: For `continue`: how many more units it takes, over all arms, where that can be said.
        more_days: The same in days, where traffic is known.
    """

    action: Action
    reasons: tuple[str, ...]
    variant: str | None = None
    more_units: int | None = None
    more_days: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How missing units turn into time.

    Attributes:
        daily_units: New units a day, if known.
        waiting: Units that were exposed and whose window has not elapsed: they count without anybody new.
        window_days: How long that takes from a unit's exposure.
        ended: Nobody new will come.
    """

    daily_units: float | None = None
    waiting: int = 0
    window_days: float = 0.0
    ended: bool = False


def decide(
    checks: Sequence[Check],
    candidates: Sequence[Candidate],
    *,
    units: int,
    planned: float | None,
    pace: Pace = Pace(),
) -> Decision:
    """Choose the action.

    Args:
        checks: Health checks.
        candidates: Every arm but the baseline.
        units: Units seen so far.
        planned: Planned total, if there is one.
        pace: Turns what is missing into days.
    """
    broken = [check.detail for check in checks if check.red]
    if broken:
        return Decision("investigate", ("The data cannot be trusted yet.", *broken))
    # An arm that nobody is sent to is not waited for.
    candidates = [one for one in candidates if one.primary.status != "zero_weight"] or candidates
    unharmed = [candidate for candidate in candidates if not _harms(candidate)]
    harms = [sentence for candidate in candidates for sentence in _harms(candidate)]
    winners = [candidate for candidate in unharmed if _wins(candidate) is True]
    winners.sort(key=lambda candidate: candidate.primary.p_value or 0.0)
    for candidate in winners:
        if all(guardrail.non_inferior for guardrail in candidate.guardrails):
            reasons = (_told(candidate), *_shrunk(candidate), *(g.detail for g in candidate.guardrails))
            return Decision("ship", (*reasons, *harms), candidate.primary.variant)
    if candidates and all(_harms(candidate) or _wins(candidate) is False for candidate in candidates):
        return Decision("stop", (*(_told(candidate) for candidate in candidates), *harms))
    if winners:
        held = [g for g in winners[0].guardrails if not g.non_inferior]
        return _held(winners[0], held, pace, harms)
    return _undecided(unharmed, units, planned, pace, harms)


def _held(winner: Candidate, held: Sequence[Guardrail], pace: Pace, harms: Sequence[str]) -> Decision:
    """Go on for the guardrails' sake."""
    details = [guardrail.detail for guardrail in held]
    more = max((guardrail.missing for guardrail in held), default=0)
    reasons = (_told(winner), *details, *harms)
    return _go_on(reasons, more or None, pace, "until the guardrails have their power")


def _undecided(
    candidates: Sequence[Candidate], units: int, planned: float | None, pace: Pace, harms: Sequence[str]
) -> Decision:
    waiting = [c.primary.detail for c in candidates if c.primary.status not in {"ok", "zero_weight"}]
    if planned is None:
        missing = "No planned size is given, so nothing says when to give up: POST /v1/plans gives one."
        reasons = [_told(c) for c in candidates if c.primary.status == "ok"]
        if pace.ended:
            return _at_the_end((*waiting, *reasons, *harms), "and no difference is shown", pace)
        return Decision("continue", (*waiting, *reasons, *harms, missing))
    if units >= planned and not any(c.primary.status == "not_final" for c in candidates):
        reasons = [_told(candidate) for candidate in candidates]
        end = f"The planned {planned:,.0f} visitors are reached ({units:,}) and no difference is shown."
        return Decision("stop", (end, *reasons, *harms))
    more = max(0, round(planned) - units)
    return _go_on((*dict.fromkeys(waiting), *harms), more, pace, f"of {planned:,.0f} planned")


def _go_on(reasons: Sequence[str], more: int | None, pace: Pace, until: str) -> Decision:
    if pace.ended:
        short = until.replace("until", "before") if until.startswith("until") else f"short {until}"
        return _at_the_end(reasons, f"{more or 0:,} visitors {short}", pace)
    if more is None:
        return Decision("continue", tuple(reasons))
    new = max(0, more - pace.waiting)
    window = f"their window of {pace.window_days:.3g} days is over"
    if more and not new:
        said = f"No more visitors {until}: {pace.waiting:,} who were exposed count once {window}."
        return Decision("continue", (*reasons, said), None, 0, math.ceil(pace.window_days))
    days = math.ceil(new / pace.daily_units + pace.window_days) if pace.daily_units else None
    time = f", {days:,} days at {pace.daily_units:,.0f} a day" if days is not None else ""
    later = f"; they count once {window}, for which {pace.waiting:,} are waiting now" if pace.window_days else ""
    return Decision("continue", (*reasons, f"{new:,} more visitors {until}{time}{later}."), None, new, days)


def _at_the_end(reasons: Sequence[str], how: str, pace: Pace) -> Decision:
    if not pace.waiting:
        return Decision("stop", (*reasons, f"The test has ended, {how}."))
    days = math.ceil(pace.window_days)
    waiting = f"{pace.waiting:,} who were exposed count once their window is over, in {days:,} days at most"
    said = f"Nobody new comes; {waiting}."
    return Decision("continue", (*reasons, said), None, 0, days)


def _harms(candidate: Candidate) -> list[str]:
    """Say by what an arm is shown to do harm; empty when it is not."""
    found = [guardrail.detail for guardrail in candidate.guardrails if guardrail.harmful]
    goal = candidate.goal
    watched = {"primary metric": candidate.harm_p_value, "goal": goal.harm_p_value if goal else None}
    for what, p in watched.items():
        if p is not None and p < candidate.harm_alpha:
            name = candidate.primary.variant
            found.append(f"{name} harms the {what}: one-sided {p_words(p)}, below {candidate.harm_alpha:g}.")
    if goal is not None and _better(goal.comparison, rising=goal.increase_is_good) is False:
        # Where the goal itself has spoken, nothing stands in for it.
        found.append(f"On the goal: {_sentence(goal.comparison, rising=goal.increase_is_good)}")
    return found


def _shrunk(candidate: Candidate) -> list[str]:
    primary = candidate.primary
    if primary.shrunk is None or primary.absolute is None:
        return []
    relative = f" ({signed(primary.shrunk_relative, '+.1%')})" if primary.shrunk_relative is not None else ""
    return [
        f"Winners are partly lucky: expect {signed(primary.shrunk)}{relative} rather than {signed(primary.absolute)}."
    ]


def _wins(candidate: Candidate) -> bool | None:
    return _better(candidate.primary, rising=candidate.increase_is_good)


def _better(found: Comparison, *, rising: bool) -> bool | None:
    if not found.significant or found.absolute is None:
        return None
    return (found.absolute > 0) == rising


def _told(candidate: Candidate) -> str:
    return _sentence(candidate.primary, rising=candidate.increase_is_good)


def _sentence(found: Comparison, *, rising: bool) -> str:
    if found.absolute is None or found.absolute_interval is None:
        return f"{found.variant}: {found.detail}"
    low, high = found.absolute_interval
    relative = f" ({signed(found.relative, '+.1%')})" if found.relative is not None else ""
    verdict = {True: "is better than", False: "is worse than", None: "is not shown to differ from"}[
        _better(found, rising=rising)
    ]
    return (
        f"{found.variant} {verdict} {found.baseline}: {signed(found.absolute)}{relative}, "
        f"{found.level or 0:.0%} interval {signed(low)} to {signed(high)}, {_evidence(found)}."
    )


def _evidence(found: Comparison) -> str:
    if found.chance_to_win is not None:
        return f"chance to win {found.chance_to_win:.1%}"
    return p_words(found.adjusted_p_value or 0.0)
