"""What is asked about proxies, and the shape of the answer."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Pair = tuple[float, float]
Status = Literal["ok", "not_enough_evidence", "no_variation", "equals_goal"]
Trust = Literal["stand_in", "with_care", "not_yet"]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
CAVEAT = (
    "Learned from past experiments' effects, with the noise that a proxy and the goal share within each experiment "
    "taken out. It holds for changes like those that were tested; new kinds of change are new."
)


class PairRequest(BaseModel):
    """A goal, and a test to leave out."""

    model_config = ConfigDict(extra="forbid")

    goal: Name = Field(description="The goal metric's key, or an event's name.")
    without: str | None = Field(
        None, max_length=100, description="Key of an experiment to leave out: nothing is judged by itself."
    )


class ProxiesRequest(PairRequest):
    """Which goal, and how large the test is that a proxy would decide."""

    visitors: int = Field(10_000, ge=4, le=2**31 - 1, description="Of the new test, over two equal arms.")
    threshold: float = Field(
        1.96, gt=0, le=10, allow_inf_nan=False, description="One ships when the proxy's z exceeds this."
    )


class NaiveAnswer(BaseModel):
    """What a plot of measured effects shows; shared noise makes it too rosy. Beside, never used."""

    correlation: float | None
    slope: float | None
    sign_agreement: float | None
    decision_share: float | None


class DecisionValueAnswer(BaseModel):
    """What it is worth to ship when the proxy's z exceeds the threshold, in the goal's own unit."""

    gain: float = Field(description="Mean goal effect won per past comparison, by thinning, at half its size.")
    standard_error: float | None
    perfect: float | None = Field(description="What one who knew the true goal effects would win.")
    share: float | None = Field(description="gain ÷ perfect.")
    share_at_size: float | None = Field(description="The share in a test of `visitors`, for normal true effects.")


class ForecastAnswer(BaseModel):
    """The goal's true effect after a proxy effect that is just large enough to ship."""

    proxy_effect: float
    estimate: float
    interval: Pair = Field(description="95% prediction interval.")
    chance_positive: float


class StoppingAnswer(BaseModel):
    """How the past tests were ended. One that ends early on a lucky effect exaggerates it."""

    early: int = Field(description="Stopped before their planned size.")
    early_on_goal: int
    early_on_proxy: int
    unknown: int = Field(description="Of which that is not known.")
    warning: str = Field(description="Empty when nothing need be feared.")


class ChangeAnswer(BaseModel):
    """One type of change apart."""

    change: str
    experiments: int
    status: Status
    slope: float | None
    slope_interval: Pair | None
    correlation: float | None


class ScoreAnswer(BaseModel):
    """What the proxy said in experiments of this service, held against the goal once it had matured."""

    agreed: int = Field(description="Experiments in which both went the way that was said.")
    of: int
    contradicted: int = Field(description="In which the goal clearly went the other way.")
    expected: float | None = Field(description="Agreements expected by what was known before each, shared noise in.")
    known: int = Field(description="Experiments with such an expectation.")
    inside_interval: int = Field(description="In which the goal's measured effect was inside its 95% interval.")
    evidence: float = Field(description="That it agrees less often than it should: 1 is none, 50 raises the warning.")
    sentence: str
    warning: str = Field(description="Empty unless the score has drifted.")


class CandidateAnswer(BaseModel):
    """One metric as a stand-in for the goal. Figures are null where they cannot be told."""

    proxy: str
    status: Status
    detail: str
    trust: Trust = Field(description="stand_in; with_care: read the reasons; not_yet: do not decide by it.")
    reasons: list[str]
    experiments: int
    comparisons: int
    correlation: float | None = Field(description="Of true effects: noise-corrected.")
    slope: float | None = Field(description="Goal effect per unit of proxy effect (total covariance).")
    slope_standard_error: float | None = Field(description="Jackknife over experiments.")
    slope_interval: Pair | None
    width: float | None = Field(description="Of the standardised slope's interval; above 1 nothing is said.")
    jive_correlation: float | None = Field(description="By the second estimator.")
    jive_slope: float | None
    proxy_per_goal: float | None = Field(description="Proxy effect that comes with one unit of goal effect.")
    quality: float | None = Field(description="How well a measured effect in a test of `visitors` follows the goal.")
    clipped: bool = Field(description="Whether a negative eigenvalue was set to 0 for quality; never for the slope.")
    sign_agreement: float | None = Field(description="Chance that true effects have one sign.")
    opposite_sign_risk: float | None = Field(description="Chance that one ships and the goal gets worse.")
    decision_value: DecisionValueAnswer | None
    forecast: ForecastAnswer | None
    naive: NaiveAnswer
    stopping: StoppingAnswer
    by_change: list[ChangeAnswer]
    score: ScoreAnswer


class MixtureAnswer(BaseModel):
    """The combination of proxies that follows the goal best in a test of `visitors`."""

    weights: dict[str, float] = Field(description="Of effects in each metric's own unit; they add up to 1.")
    quality: float
    experiments: int = Field(description="Those that measured all of them.")
    best_single: str
    best_single_quality: float
    clipped: bool


class ProxiesAnswer(BaseModel):
    """Every candidate proxy of a goal."""

    goal: str
    status: Literal["ok", "not_enough_evidence", "no_history"]
    detail: str
    caveat: str = CAVEAT
    visitors: int
    threshold: float
    experiments: int = Field(description="Past experiments that measured the goal.")
    candidates: list[CandidateAnswer]
    mixture: MixtureAnswer | None


class EffectPoint(BaseModel):
    """One past comparison."""

    experiment: str
    variant: str
    change: str
    proxy_effect: float
    goal_effect: float
    proxy_variance: float = Field(description="Of its noise.")
    goal_variance: float
    covariance: float = Field(description="Of both effects' noise: keen visitors do more of everything.")
    stopped_early: bool | None


class JudgedTest(BaseModel):
    """One experiment of this service in which the proxy was held against the matured goal."""

    experiment: str
    variant: str = Field(description="The one that the proxy spoke of most clearly.")
    basis: Literal["past_experiments", "assumed_equal"] = Field(description="What the proxy's word rested on.")
    proxy_effect: float
    forecast: float | None = Field(description="Of the goal's true effect.")
    forecast_interval: Pair | None = Field(description="Of the goal's measured effect, 95%.")
    goal_effect: float
    agreed: bool
    contradicted: bool
    chance: float | None = Field(description="Of agreement, by what was known before.")
    matured_at: dt.datetime


class EffectsAnswer(BaseModel):
    """Proxy effects against goal effects, with what is noise in them and both slopes."""

    goal: str
    proxy: str
    status: Status
    detail: str
    experiments: int
    mean: Pair | None = Field(description="Mean true effects of proxy and goal, where both lines cross.")
    slope: float | None = Field(description="With the shared noise taken out.")
    slope_interval: Pair | None
    naive_slope: float | None = Field(description="As a plot alone suggests.")
    points: list[EffectPoint]
    tests: list[JudgedTest] = Field([], description="What its score is made of, in the order that goals matured.")
