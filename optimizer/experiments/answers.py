"""The shape of a result, the same for analyses from counts and for experiments."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, Field

from optimizer.core.stats.comparison import Case, Comparison
from optimizer.core.stats.decisions import Check, Decision
from optimizer.core.stats.figures import figures
from optimizer.core.stats.quantiles import OBSERVATIONS
from optimizer.core.stats.srm import RED_BELOW, sample_ratio
from optimizer.core.stats.words import p_words
from optimizer.experiments.metrics import Kind

Pair = tuple[float, float]


class CheckAnswer(BaseModel):
    """One health check."""

    name: str
    passed: bool
    p_value: float | None
    detail: str
    holds_back: bool = Field(
        default=True, description="Whether failing it makes the decision investigate; else it warns."
    )


class VariantAnswer(BaseModel):
    """One variant on one metric, without adjustment."""

    variant: str
    units: int = Field(description="Those whose window has elapsed.")
    conversions: int | None = Field(description="Units that converted, for proportions.")
    mean: float | None = Field(
        description="Of a ratio: Σ of its numerator ÷ Σ of its denominator. Of a quantile: the quantile."
    )
    std: float | None = Field(
        description="Of one unit; of a ratio by the delta method; of a quantile its standard error · √units."
    )
    sum: float | None = Field(description="Σ over units; of a ratio that of its numerator; null for a quantile.")
    denominator: float | None = Field(None, description="Σ of a ratio's denominator.")
    occurrences: int | None = Field(None, description="Of a quantile: how many numbers it is the quantile of.")
    immature_units: int = Field(0, description="Left out because their window has not elapsed.")


class UnadjustedAnswer(BaseModel):
    """The same comparison without covariates, at the same level."""

    absolute: float
    absolute_interval: Pair
    relative: float | None
    relative_interval: Pair | None
    p_value: float | None


class ComparisonAnswer(BaseModel):
    """One variant against the baseline."""

    variant: str
    baseline: str
    absolute: float | None
    relative: float | None
    absolute_interval: Pair | None
    relative_interval: Pair | None
    level: float | None = Field(description="Level of both intervals, adjusted like the p-value.")
    p_value: float | None = Field(description="Null under bayesian.")
    adjusted_p_value: float | None = Field(description="Holm over variants; Benjamini-Hochberg on secondary metrics.")
    significant: bool
    chance_to_win: float | None = Field(
        None, description="Bayesian: that the variant is better: higher, or lower where less is."
    )
    expected_loss: float | None = Field(None, description="Bayesian: what the variant is expected to cost.")
    baseline_loss: float | None = Field(None, description="Bayesian: what keeping the baseline is expected to cost.")
    status: str = Field(description="ok, or why there is no verdict: see docs/experiments.md.")
    detail: str = Field(description="One sentence on the status.")
    missing: int = Field(description="What is missing until a verdict, in the status's own unit.")
    method: str | None = Field(description="Conventions of the interval and of the relative interval.")
    covariate: str = Field("", description="adjusted, why not, or empty without a covariate.")
    unadjusted: UnadjustedAnswer | None = Field(None, description="Beside adjusted figures.")
    variance_reduction: float | None = Field(None, description="Share of the variance that covariates took away.")
    shrunk: float | None = Field(None, description="`absolute`, shrunk for the luck that winners have.")
    shrunk_relative: float | None = Field(None, description="`relative`, likewise.")


class SeriesPoint(BaseModel):
    """The comparison over the units first exposed up to the end of one UTC day."""

    through: dt.date
    variant: str
    units: int = Field(description="Of the variant and the baseline together.")
    status: str
    absolute: float | None
    absolute_interval: Pair | None
    relative: float | None
    relative_interval: Pair | None


class MetricResult(BaseModel):
    """One metric."""

    metric: str
    role: Literal["primary", "goal", "secondary", "guardrail"]
    type: Kind
    quantile: float | None = Field(None, description="Which one, for quantiles.")
    of: str | None = Field(None, description="What a quantile is of.")
    variants: list[VariantAnswer]
    comparisons: list[ComparisonAnswer]
    series: list[SeriesPoint] = Field(
        [], description="Of the primary and the goal metric, day by day; empty for quantiles, which do not add up."
    )


class SurrogateAnswer(BaseModel):
    """What visitors of before the test suggest of the goal. Context: it never decides."""

    relative: float = Field(description="Of the goal, relative to what the same visitors make expect of the control.")
    interval: Pair = Field(description="95%, by bootstrap of those visitors and of the test's own units.")
    absolute: float
    visitors: int = Field(description="Of before the test, whose windows had elapsed when it began.")
    caveat: str


class GoalForecast(BaseModel):
    """What the primary metric's effect says of the goal."""

    relative: float
    interval: Pair | None
    basis: str = Field(description="past_experiments or assumed_equal, and what that means here.")
    variant: str = Field("", description="Whose effect it is.")
    absolute: float | None = Field(None, description="In the goal's own unit; only past experiments tell.")
    absolute_interval: Pair | None = None
    chance_positive: float | None = Field(None, description="That the goal's true effect is above 0.")
    experiments: int = Field(0, description="Past experiments that it was learned from.")
    measured: float | None = Field(None, description="The goal's own relative effect, once it has a result.")
    measured_interval: Pair | None = Field(None, description="Of that.")
    agrees: bool | None = Field(None, description="Whether that goes the way that was said; null where it is 0.")
    score: str = Field("", description="How often the proxy was right about the goal before.")
    context: SurrogateAnswer | None = Field(
        None, description="Beside an assumption, where visitors of before the test can give it."
    )


class DecisionAnswer(BaseModel):
    """What to do and why."""

    action: Literal["ship", "stop", "continue", "investigate"]
    reasons: list[str]
    variant: str | None = Field(None, description="The one to ship.")
    goal_forecast: GoalForecast | None = None
    more_visitors: int | None = Field(None, description="New visitors that `continue` waits for, over all variants.")
    more_days: int | None = Field(None, description="At the present pace of new units, until their window is over.")


class PlanAnswer(BaseModel):
    """The plan against reality."""

    planned_visitors: int | None
    visitors: int = Field(description="Mature units of the primary metric, over all variants.")
    share: float | None = Field(description="visitors ÷ planned_visitors.")
    daily_visitors_planned: float | None
    daily_visitors: float | None = Field(description="New units a day since the start.")
    days_planned: float | None
    days: float = Field(description="Since the start, up to the cut-off or the stop.")
    baseline_planned: float | None
    baseline: float | None = Field(description="Mean of the control on the primary metric.")
    detail: str = Field(description="Where they differ, in one sentence.")


class SplitValue(BaseModel):
    """The units with one value of a dimension."""

    value: str
    units: dict[str, int]
    metrics: list[MetricResult]


class DimensionAnswer(BaseModel):
    """A result split by a dimension."""

    name: str
    warning: str
    values: list[SplitValue]


class ResultAnswer(BaseModel):
    """Figures, checks and the decision."""

    method: str
    alpha: float
    units: dict[str, int]
    checks: list[CheckAnswer]
    metrics: list[MetricResult]
    decision: DecisionAnswer
    warnings: list[str] = Field([], description="What a careful reader should know.")
    plan: PlanAnswer | None = None
    dimension: DimensionAnswer | None = None
    information: list[float] = Field([], description="group_sequential: share of the plan at each look taken.")


def ratio_check(units: Mapping[str, int], weights: Mapping[str, float], method: str) -> Check:
    """Check the split; the anytime-valid test decides, except at a fixed horizon: there the χ² test does."""
    found = sample_ratio(list(units.values()), [weights[name] for name in units])
    decides = found.p_value if method == "fixed" else found.sequential_p_value
    shown = ", ".join(f"{name} {count:,}" for name, count in units.items())
    test = "χ²" if method == "fixed" else "anytime-valid multinomial"
    alone = f"χ² alone: {p_words(found.p_value, 3)}"
    detail = f"Units {shown}: {p_words(decides, 3)} ({test} test, red below {RED_BELOW}; {alone})."
    if found.stray_units:
        detail = f"{found.stray_units:,} units are in variants of weight 0. {detail}"
    return Check("srm", decides >= RED_BELOW and found.stray_units == 0, detail, decides)


def variant_answers(case: Case, kind: str, exposed: Mapping[str, int]) -> list[VariantAnswer]:
    """Describe every arm of one metric; nothing is given that the sums cannot identify.

    Args:
        case: Sums and the metric's columns.
        kind: The metric's type.
        exposed: Units per arm, mature or not.
    """
    found = figures(case.row, case.measure, adjusted=False)
    below = case.row.totals[:, case.row.place(case.measure.denominator)] if case.measure.denominator else None
    answers = []
    counted = case.row.totals[:, case.row.place(OBSERVATIONS)] if kind == "quantile" else None
    for place, name in enumerate(case.row.arms):
        units, mean, variance = round(found.n[place]), float(found.mean[place]), float(found.variance[place])
        if counted is not None and not counted[place]:
            mean = variance = math.nan
        if kind == "proportion" and units > 1:
            variance *= units / (units - 1)
        total = float(found.total[place])
        answers.append(
            VariantAnswer(
                variant=name,
                units=units,
                conversions=round(total) if kind == "proportion" else None,
                mean=mean if units and math.isfinite(mean) else None,
                std=math.sqrt(max(0.0, variance)) if units > 1 and math.isfinite(variance) else None,
                sum=_known(total) if kind not in {"proportion", "quantile"} else None,
                denominator=_known(float(below[place])) if below is not None else None,
                occurrences=round(float(counted[place])) if counted is not None else None,
                immature_units=max(0, exposed.get(name, units) - units),
            )
        )
    return answers


def _known(total: float) -> float | None:
    return None if math.isnan(total) else total


def comparison_answer(found: Comparison) -> ComparisonAnswer:
    """Give a comparison the shape of the contract."""
    shown = {name: getattr(found, name) for name in ComparisonAnswer.model_fields}
    if found.unadjusted is not None:
        shown["unadjusted"] = UnadjustedAnswer(**asdict(found.unadjusted))
    return ComparisonAnswer(**shown)


def check_answers(checks: Sequence[Check]) -> list[CheckAnswer]:
    """Give checks the shape of the contract."""
    return [CheckAnswer(**asdict(check)) for check in checks]


def decision_answer(decision: Decision, forecast: GoalForecast | None = None) -> DecisionAnswer:
    """Give a decision the shape of the contract."""
    return DecisionAnswer(
        action=decision.action,
        reasons=list(decision.reasons),
        variant=decision.variant,
        goal_forecast=forecast,
        more_visitors=decision.more_units,
        more_days=decision.more_days,
    )
