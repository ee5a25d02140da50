"""What counted false alarms say: each rate held against its promise, and all of them together in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from optimizer.core.stats.bayes import CAUTION
from optimizer.core.stats.design import Method
from optimizer.core.stats.multiplicity import holm
from optimizer.core.stats.splits import alarm_rate
from optimizer.experiments.replay import Period

CHANCE = 0.01  # Holm over the rates: below it, so many alarms are no chance
SPLIT_CHECK = "split (srm)"


class AlarmRateAnswer(BaseModel):
    """How often one metric raised a false alarm."""

    metric: str
    method: Method
    promised: float | None = Field(description="At most this share; null where nothing is promised.")
    splits: int = Field(description="Random splits that had a verdict.")
    alarms: int
    rate: float | None
    interval: tuple[float, float] | None = Field(description="Clopper-Pearson, 95%.")
    p_value: float | None = Field(description="Chance of so many alarms if the promise holds, Holm over the rates.")
    verdict: Literal["as_promised", "too_many", "no_verdict", "nothing_promised"]
    detail: str


class Counted(BaseModel):
    """Verdicts of one metric by one method over all splits."""

    metric: str
    method: Method
    promised: float | None
    splits: int
    alarms: int
    detail: str


def judge(found: Sequence[Counted]) -> list[AlarmRateAnswer]:
    """Hold every rate against its promise, adjusted over all that have one."""
    rates = {
        place: alarm_rate(row.alarms, row.splits, 1.0 if row.promised is None else row.promised)
        for place, row in enumerate(found)
        if row.splits
    }
    held = [place for place in rates if found[place].promised is not None]
    adjusted = dict(zip(held, holm([rates[place].p_value for place in held]), strict=True))
    answers = []
    for place, row in enumerate(found):
        rate = rates.get(place)
        shown: Mapping[str, object] = {"rate": None, "interval": None, "p_value": None, "verdict": "no_verdict"}
        if rate is not None:
            p_value = adjusted.get(place)
            verdict = "nothing_promised"
            if p_value is not None:
                verdict = "too_many" if p_value < CHANCE else "as_promised"
            shown = {"rate": rate.rate, "interval": rate.interval, "p_value": p_value, "verdict": verdict}
        answers.append(AlarmRateAnswer.model_validate({**row.model_dump(), **shown}))
    return answers


def conclude(rates: Sequence[AlarmRateAnswer], units: int, period: Period) -> tuple[bool | None, str]:
    """Say whether the promises are kept (None where nothing could be told), and a sentence with the numbers.

    Args:
        rates: Judged.
        units: Units that entered.
        period: What was replayed.
    """
    of = f"{period.splits:,} random splits of {units:,} units over {period.days} days"
    measured = [rate for rate in rates if rate.verdict in {"as_promised", "too_many"} and rate.metric != SPLIT_CHECK]
    free = [rate for rate in rates if rate.verdict == "nothing_promised"]
    bayesian = f" {CAUTION} Here it called {_widest(free)} of the splits different." if free else ""
    broken = [rate for rate in rates if rate.verdict == "too_many"]
    if broken:
        shown = "; ".join(
            f"{rate.metric} ({rate.method}) {rate.rate:.1%} where at most {rate.promised:.1%} is promised"
            for rate in broken
        )
        why = (
            "Units are compared that were not split one by one"
            if period.split_by != period.unit
            else "Look for units that act together, or for a few that are far larger than all others (a cap helps)"
        )
        return False, f"Not as promised in {of}: {shown}. {why}.{bayesian}"
    if not measured:
        why = "the methods asked for promise nothing" if free else "no metric had a verdict. Replay more days"
        return None, f"Nothing could be held against a promise in {of}: {why}.{bayesian}"
    return True, (
        f"As promised: of {len(measured)} false-positive rates in {of}, none is above what is promised "
        f"by more than chance (Holm over the rates, {CHANCE:.0%}).{bayesian}"
    )


def _widest(rates: Sequence[AlarmRateAnswer]) -> str:
    low, high = (f"{pick(rate.rate or 0.0 for rate in rates):.1%}" for pick in (min, max))
    return low if low == high else f"{low} to {high}"
