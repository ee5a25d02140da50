"""What to do with an event, from everything that is known of it, in sentences that name the figures.

Nothing is promoted for one figure alone: a lift has to be sure, to matter, to add something that activity, source and
the other events do not say already, and not to turn around within a source or on a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from optimizer.core.signals.fourfold import ALPHA, Figures
from optimizer.core.signals.increments import Increment
from optimizer.core.signals.stability import Drift, Reversal, Turn
from optimizer.core.stats.effects import Interval
from optimizer.core.stats.words import p_words

Recommendation = Literal["promote", "keep", "watch", "drop"]
Role = Literal["predictor", "funnel_step", "everybody"]
EQUIVALENT = Interval(0.8, 1.25)  # a lift inside this band does not matter to any decision made from it
FUNNEL_STEP_SHARE = 0.95
EVERYBODY_SHARE = 0.98
TURNS: dict[Turn, str] = {
    "reversed": "turned around by",
    "hidden": "covered up by",
    "explained": "explained by",
    "opposed": "different in sign by",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that speaks for or against one event.

    Attributes:
        figures: Of its tables.
        q_value: Benjamini-Hochberg over all events; None without a test.
        reach: Share of units at risk that did it.
        prerequisite_share: Share of converters that did it before, or as, they converted.
        increment: What it adds; None where too few converted to tell.
        drift: How its lift moves over weeks; None where not looked at.
        reversals: Dimensions within which its sign turns.
    """

    figures: Figures
    q_value: float | None
    reach: float
    prerequisite_share: float
    increment: Increment | None = None
    drift: Drift | None = None
    reversals: Sequence[Reversal] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do.

    Attributes:
        role: predictor; funnel_step: nearly every converter passes it; everybody: so does everyone else.
        recommendation: promote, keep, watch or drop.
        reasons: The deciding sentence first, then what else is to be known.
    """

    role: Role
    recommendation: Recommendation
    reasons: tuple[str, ...]


def role_of(reach: float, prerequisite_share: float) -> Role:
    """Tell a step that converters must pass, or that everybody passes, from an event that could predict.

    Args:
        reach: Share of units at risk that did it.
        prerequisite_share: Share of converters that did it before they converted.
    """
    if reach >= EVERYBODY_SHARE:
        return "everybody"
    return "funnel_step" if prerequisite_share >= FUNNEL_STEP_SHARE else "predictor"


def advise(evidence: Evidence) -> Advice:
    """Say what to do with an event, and why."""
    role = role_of(evidence.reach, evidence.prerequisite_share)
    share = f"{evidence.prerequisite_share:.0%} of converters did it first"
    if role == "everybody":
        reach = f"{evidence.reach:.0%} of units did it"
        return Advice(role, "watch", (f"Nearly everybody does it, so it tells nobody apart: {reach}, {share}.",))
    if role == "funnel_step":
        said = f"Funnel step, not a predictor: {share}{_numbers(evidence, '; ')}."
        return Advice(role, "keep", (said, *_warnings(evidence)))
    if evidence.reach == 0:
        said = "Nobody did it while still at risk: where it is seen, the goal was reached before."
        return Advice(role, "watch", (said,))
    recommendation, reason = _verdict(evidence)
    return Advice(role, recommendation, (reason, *_warnings(evidence)))


def _verdict(evidence: Evidence) -> tuple[Recommendation, str]:
    found, q_value = evidence.figures, evidence.q_value
    if found.lift is None or found.lift_interval is None or q_value is None:
        return "watch", "There are not yet units both with and without it, converted and not, to compare."
    low, high = found.lift_interval
    numbers = _numbers(evidence, "; ")
    if EQUIVALENT.lower < low and high < EQUIVALENT.upper:
        band = f"{EQUIVALENT.lower:g} to {EQUIVALENT.upper:g}"
        return "drop", f"No difference worth a decision: the interval lies inside {band}{numbers}."
    if q_value > ALPHA:
        return "watch", f"Not told apart from no association yet{numbers}."
    if opposed := [reversal.dimension for reversal in evidence.reversals if reversal.opposed]:
        where = " and by ".join(opposed)
        return "keep", f"Its sign differs by {where}, so it is not one signal for everybody{numbers}."
    if found.lift <= 1:
        return "keep", f"Units that did it convert less often: useful to know, nothing to promote{numbers}."
    return _worth_promoting(evidence, low, numbers)


def _worth_promoting(evidence: Evidence, low: float, numbers: str) -> tuple[Recommendation, str]:
    increment = evidence.increment
    if increment is not None and increment.covered_by is not None:
        kept, alone = max(0.0, increment.beyond.log_loss), increment.alone.log_loss
        left = f"beyond it, {kept / alone:.0%} of what it tells alone is left" if alone > 0 else "it adds nothing"
        return "keep", f"{increment.covered_by} says what it says ({left}){numbers}."
    if increment is not None and not increment.taken_up:
        return "keep", f"It adds nothing sure to activity, recency, source, device and other events{numbers}."
    if low <= 1 or (evidence.figures.lift or 0.0) < EQUIVALENT.upper:
        return "keep", f"Associated, but too little to be worth a signal{numbers}."
    if increment is None:
        return (
            "promote",
            f"Those who did it convert more often later on; too few converted to say what it adds{numbers}.",
        )
    return "promote", f"Those who did it convert more often later on, and it adds to all else known{numbers}."


def _numbers(evidence: Evidence, before: str) -> str:
    found = evidence.figures
    if found.lift is None or found.lift_interval is None or evidence.q_value is None:
        return ""
    low, high = found.lift_interval
    text = (
        f"{before}lift {found.lift:.2f} (95% interval {low:.2f} to {high:.2f}), {p_words(evidence.q_value, name='q')}"
    )
    if evidence.increment is not None:
        text += f", AUC {evidence.increment.beyond.auc:+.4f}"
    return text


def _warnings(evidence: Evidence) -> list[str]:
    said = [_reversal_sentence(reversal) for reversal in evidence.reversals]
    drift = evidence.drift
    if drift is not None and drift.flagged:
        if drift.change is not None and drift.p_value is not None and drift.p_value < ALPHA:
            said.append(
                f"Its lift drifts: {drift.change:.2f} times what it was in the first week ({p_words(drift.p_value)})."
            )
        elif drift.heterogeneity_p_value is not None:
            said.append(
                f"Its lift differs from week to week by more than chance ({p_words(drift.heterogeneity_p_value)}, "
                f"I² = {drift.i_squared:.0%})."
            )
    return said


def _reversal_sentence(reversal: Reversal) -> str:
    low, high = reversal.within_interval
    text = (
        f"The lift is {TURNS[reversal.kind]} {reversal.dimension}: {reversal.overall:.2f} over everybody, "
        f"{reversal.within:.2f} (99% interval {low:.2f} to {high:.2f}) among those alike in it"
    )
    if reversal.opposed:
        return f"{text}; opposite signs in {', '.join(reversal.opposed)}."
    return f"{text}, so those are compared."
