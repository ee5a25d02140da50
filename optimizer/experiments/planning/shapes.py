"""What a plan asks and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Method = Literal["fixed", "sequential", "group_sequential", "bayesian"]
Role = Literal["goal", "proxy", "guardrail"]
Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
MAXIMUM_VARIANTS = 20


class PlannedGuardrailRequest(BaseModel):
    """A metric that a winner must not break."""

    model_config = ConfigDict(extra="forbid")

    metric: Name
    margin_relative: Rate = Field(0.02, description="Loss that is tolerated, relative to the control.")
    direction: Literal["increase", "decrease"] | None = Field(
        None, description="Which way is good; from the stored metric when omitted, else increase."
    )


class PlanRequest(BaseModel):
    """A question: how many visitors does it take?"""

    model_config = ConfigDict(extra="forbid")

    goal: Name = Field(description="The macro conversion under study: an event's name or a metric's key.")
    proxies: list[Name] = Field(default_factory=list, max_length=20, description="Micro conversions to compare.")
    guardrails: list[PlannedGuardrailRequest] = Field(
        default_factory=list,
        max_length=20,
        description="Shown not to be broken: each gets power 1 − β/(G+1).",
    )
    relative_mde: float = Field(
        0.1, gt=-1, le=100, allow_inf_nan=False, description="Smallest relative effect worth finding; .1 is +10%."
    )
    alpha: Rate = Field(0.05, description="Two-sided error rate.")
    power: Rate = Field(0.8, description="Chance to find the effect when it is there.")
    method: Method = Field(
        "fixed",
        description="fixed: one look at the end; sequential: may be read at any time; group_sequential: `looks` "
        "planned ones; bayesian: until the expected loss is accepted, without an error guarantee.",
    )
    variants: int = Field(
        2, ge=2, le=MAXIMUM_VARIANTS, description="Arms, the control included; one per weight when omitted."
    )
    weights: list[Positive] | None = Field(
        None, min_length=2, max_length=MAXIMUM_VARIANTS, description="Per arm, the control first; equal when omitted."
    )
    looks: int = Field(5, ge=2, le=50, description="For group_sequential: equally spaced.")
    spending: Literal["obrien_fleming", "pocock"] = Field(
        "obrien_fleming", description="For group_sequential: how α is spent over the looks."
    )
    accepted_loss_relative: Positive | None = Field(
        None,
        description="For bayesian: expected loss, relative to the baseline, at which one chooses; a twentieth of "
        "relative_mde when omitted.",
    )
    baselines: dict[Name, Positive] | None = Field(
        None,
        description="Its rate, or its mean where a standard deviation is given; measured when omitted.",
    )
    standard_deviations: dict[Name, Positive] | None = Field(
        None,
        description="Of one unit, for counts, sums and ratios (by the delta method); measured when omitted.",
    )
    windows_hours: dict[Name, Positive] | None = Field(
        None, description="Conversion window per metric: added to the days; from the stored metric when omitted."
    )
    daily_visitors: float | None = Field(
        None, gt=0, le=1e12, allow_inf_nan=False, description="New eligible visitors a day; measured when omitted."
    )

    @model_validator(mode="after")
    def _count_the_weights(self) -> Self:
        if self.weights is not None and "variants" not in self.model_fields_set:
            self.variants = len(self.weights)
        return self


class ProxyNote(BaseModel):
    """How far a proxy can be trusted to stand in for the goal."""

    effect_basis: Literal["past_experiments", "assumed_equal"] = Field(
        description="Where its effect size comes from."
    )
    visitors_for_goal_effect: int | None = Field(
        description="Visitors per variant that the goal's effect needs on it; null when no size reaches the power."
    )
    days_for_goal_effect: int | None = Field(description="Likewise in days; null without daily visitors.")
    quality: float | None = Field(
        description="Noise-corrected link with the goal in a test of that size; null without past experiments."
    )
    rank: int = Field(0, description="Among the plan's proxies, by time saved and quality; 1 is the best.")
    time_saved: float | None = Field(
        None, description="Share of the goal's time (visitors, where days are unknown); null when no size suffices."
    )
    warning: str = Field(description="What a person must know before deciding by it.")


class Monitored(BaseModel):
    """What monitoring the test leads to: simulated, of group sequential designs computed."""

    power_at_last_look: float | None = Field(
        description="Power of the last look alone: a lower bound; null for group_sequential, where the plan has it."
    )
    simulated_power: float = Field(description="Power over all looks.")
    expected_visitors_per_variant: int = Field(description="Mean size at which the test stops.")
    p90_visitors_per_variant: int = Field(description="90th percentile of that size.")
    expected_days: int | None = Field(description="Days until then, the conversion window included.")
    p90_days: int | None = Field(description="Likewise for the 90th percentile.")


class AcceptedLoss(BaseModel):
    """What a Bayesian plan waits for."""

    relative: float = Field(description="Relative to the baseline.")
    absolute: float = Field(description="In the metric's own unit.")
    chance: float = Field(description="That choosing the variant costs less than this, at the planned size.")


class PowerPoint(BaseModel):
    """The chance to see the effect at another size."""

    visitors: int = Field(description="Over all variants.")
    power: float


class Detectable(BaseModel):
    """What could be seen if the test ended after some weeks."""

    days: int = Field(description="Whole weeks, and the conversion window.")
    visitors: int
    relative_mde: float | None = Field(description="Null when not even a very large effect would be seen.")


class PlannedMetric(BaseModel):
    """One metric's cost."""

    metric: str
    role: Role
    kind: Literal["proportion", "mean"] = Field(description="A rate of units, or a mean or ratio per unit.")
    baseline: float
    standard_deviation: float = Field(description="Of one unit.")
    basis: Literal["given", "measured"] = Field(description="Where the baseline comes from.")
    relative_mde: float = Field(description="Of a guardrail its margin, with the sign of a loss.")
    power: float = Field(description="That this metric is planned with.")
    visitors_per_variant: int = Field(
        description="At this metric's own relative_mde; with unequal weights the mean of `arms`."
    )
    arms: list[int] = Field(description="Per variant, the control first.")
    visitors: int = Field(description="Over all variants.")
    days: int | None = Field(
        description="Whole weeks at the daily visitors, and the window; null when those are unknown."
    )
    window_days: float
    speedup: float = Field(description="The goal's visitors over this metric's.")
    proxy: ProxyNote | None
    sequential: Monitored | None
    bayesian: AcceptedLoss | None
    power_curve: list[PowerPoint]
    detectable: list[Detectable] = Field(description="Empty for guardrails, and without daily visitors.")


class CurvePoint(BaseModel):
    """The goal's cost at another effect size."""

    relative_mde: float
    visitors_per_variant: int
    days: int | None


class Recommended(BaseModel):
    """Which metric to plan on, and what the whole test then takes."""

    metric: str
    reason: str
    planned_visitors: int = Field(description="Over all variants, enough for it and for every guardrail.")
    days: int | None
    limited_by: str = Field(description="The metric that needs that many.")


class PlannedTest(BaseModel):
    """The goal and its proxies side by side."""

    method: Method
    alpha: float
    power: float
    variants: int
    weights: list[float]
    daily_visitors: float | None
    metrics: list[PlannedMetric]
    recommended: Recommended
    curve: list[CurvePoint]
    assumptions: list[str]
