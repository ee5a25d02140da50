"""What is asked of signals and what is answered, as the API shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from optimizer.core.signals.advice import Recommendation, Role
from optimizer.core.signals.stability import Turn
from optimizer.signals.cohorts import By

Pair = tuple[float, float]
Status = Literal[
    "totals_only", "ok", "no_units", "window_longer_than_history", "goal_unreached", "nothing_to_compare"
]
CAVEAT = (
    "Association, not cause: an event that predicts the goal need not bring it about. Values are predicted, not "
    "incremental."
)


class SignalsRequest(BaseModel):
    """Which goal, which units."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    goal: str = Field(min_length=1, max_length=200, description="The event to predict.")
    start: AwareDatetime | None = Field(None, alias="from", description="Units first seen at or after.")
    end: AwareDatetime | None = Field(None, alias="to", description="Units first seen before.")
    window_days: float = Field(30, gt=0, le=365, allow_inf_nan=False, description="Days from first seen to the goal.")
    landmark_hours: float | None = Field(
        None,
        gt=0,
        le=8760,
        allow_inf_nan=False,
        description="Behaviour up to here, the goal after it; without it, all person-periods at risk are compared.",
    )
    by: By | None = Field(
        None, description="Split units by what their first event carried, or by the month they came (cohort)."
    )


class NaiveFigures(BaseModel):
    """What a with/without table over the whole window says, also counting what came after the goal."""

    rate_with: float | None
    rate_without: float | None
    lift: float | None


class Incremental(BaseModel):
    """What the event adds out of fold to activity, recency, source, device and, `beyond`, the events taken up."""

    auc: float = Field(description="Rise of the AUC beyond the events taken up.")
    log_loss_bits: float = Field(description="Fall of the mean log-loss beyond them, in bits.")
    log_loss_bits_lower: float | None = Field(description="Its one-sided 95% lower bound.")
    auc_alone: float = Field(description="Rise of the AUC without any other event.")
    log_loss_bits_alone: float
    taken_up: bool = Field(description="It is one of those that say something of their own.")
    covered_by: str | None = Field(description="The event that says what this one says.")


class SliceFigures(BaseModel):
    """The lift in one week, source or device."""

    label: str
    converters: int
    lift: float | None = Field(description="None below 10 converters.")
    lift_interval: Pair | None


class DriftFigures(BaseModel):
    """How the lift moves over weeks."""

    change: float | None = Field(description="By what the fitted lift multiplies from the first week to the last.")
    p_value: float | None = Field(description="Of a trend.")
    heterogeneity_p_value: float | None = Field(description="Cochran's Q over weeks.")
    i_squared: float | None
    flagged: bool


class ReversalFigures(BaseModel):
    """A lift that turns, or changes much, within a dimension (Simpson)."""

    dimension: str
    kind: Turn = Field(description="reversed, hidden or explained by the dimension, or opposed within it.")
    overall: float
    within: float
    within_interval: Pair = Field(description="At 99%.")
    opposed: list[str] = Field(description="Values whose own lifts surely lie on opposite sides of 1.")


class Stability(BaseModel):
    """Does the lift hold?"""

    stable: bool = Field(description="No drift, and no lift that turns or changes much by source or device.")
    weeks: list[SliceFigures]
    sources: list[SliceFigures]
    devices: list[SliceFigures]
    drift: DriftFigures
    sign_flips: list[ReversalFigures]


class LandmarkFigures(BaseModel):
    """The event's lift at another landmark."""

    landmark_hours: float
    units: int
    lift: float | None
    lift_interval: Pair | None


class Signal(BaseModel):
    """One event."""

    event: str
    kind: str | None = Field(description="From the catalog.")
    group: str | None = Field(description="Value of `by`.")
    role: Role = Field(description="funnel_step: nearly every converter passes it. everybody: so does everyone else.")
    units: int = Field(description="Units that did it while at risk.")
    reach: float = Field(description="Their share of all units at risk.")
    stratified_by: list[str] = Field(
        description="Held alike in the comparison; source and device only where they change the lift surely."
    )
    rate_with: float | None = Field(description="Per unit at the landmark, or per person-period at risk.")
    rate_with_interval: Pair | None
    rate_without: float | None
    rate_without_interval: Pair | None
    risk_difference: float | None
    risk_difference_interval: Pair | None
    lift: float | None
    lift_interval: Pair | None
    odds_ratio: float | None
    odds_ratio_interval: Pair | None
    adjusted_odds_ratio: float | None = Field(description="By logistic regression on period, recency and activity.")
    adjusted_odds_ratio_interval: Pair | None
    phi: float | None
    mutual_information_bits: float | None
    p_value: float | None
    test: str | None
    q_value: float | None = Field(description="Benjamini-Hochberg over all rows of this answer.")
    incremental_auc: float | None = Field(description="Out-of-fold rise of the AUC; None where too few converted.")
    incremental: Incremental | None
    stability: Stability | None
    by_landmark: list[LandmarkFigures] = Field(description="Where the landmark asked for keeps few converters.")
    median_hours_to_goal: float | None = Field(description="From the first occurrence, among those who converted.")
    expected_value: float | None = Field(description="Goal value a unit with it brings later; predicted, shrunk.")
    expected_value_lower: float | None = Field(description="Its lower bound (97.5%): a gate, not what is sent.")
    funnel_step: bool = Field(description="Nearly every converter passes through it.")
    naive: NaiveFigures
    recommendation: Recommendation
    reasons: list[str]


class LandmarkCount(BaseModel):
    """How many converters a landmark keeps."""

    landmark_hours: float
    converters_after: int


class CalibrationPoint(BaseModel):
    """One event in one source: what early weeks predicted and later weeks brought, per unit that did it."""

    event: str
    source: str
    units: int
    predicted: float
    observed: float


class Calibration(BaseModel):
    """Do values predicted from early weeks hold in later ones?"""

    status: Literal["ok", "too_little_history", "no_values"]
    detail: str
    slope: float | None = Field(description="Observed on predicted, weighted by units: 1 is perfect.")
    slope_error: float | None = Field(description="Its standard error, people being drawn anew.")
    slope_interval: Pair | None = Field(description="At 95%.")
    ratio: float | None = Field(description="Sum observed ÷ sum predicted.")
    points: list[CalibrationPoint]


class TotalsSignal(BaseModel):
    """What daily totals say of one event: bounds between which every value is compatible with them."""

    event: str
    reach: float | None = Field(description="Share of a day's visitors that did it.")
    rate_with: Pair | None
    rate_without: Pair | None
    lift: tuple[float, float | None] | None = Field(description="Bounds; an upper end of null is without end.")
    detail: str


class TotalsAnswer(BaseModel):
    """What daily totals (`POST /v1/counts`) say, as far as they identify anything."""

    system: str
    dimensions: list[str] = Field(description="By which the totals are cut; finer cuts give tighter bounds.")
    days: int
    visitor_days: int
    base_rate: float = Field(description="Share of a day's visitors that reached the goal.")
    refused: str = Field(description="What totals cannot say.")
    signals: list[TotalsSignal]


class SignalsAnswer(BaseModel):
    """The ranking."""

    goal: str
    status: Status
    detail: str = Field(description="The status in a sentence.")
    method: str
    caveat: str = CAVEAT
    period_hours: float | None = Field(description="Length of a person-period; None in the landmark view.")
    landmark_hours: float | None = Field(description="None where person-periods are compared.")
    basis: str = Field(description="Why this period or landmark.")
    landmarks: list[LandmarkCount] = Field(description="Converters that other landmarks keep; landmark view only.")
    window_days: float
    units: int = Field(description="Units at risk.")
    person_periods: int | None = Field(description="At risk; None in the landmark view.")
    converters: int = Field(description="Of the units at risk, how many converted after it within the window.")
    converted_before_landmark: int = Field(
        description="Units that leave both groups: they converted by the landmark, or within their first period."
    )
    base_rate: float | None
    calibration: Calibration | None
    unranked: list[str] = Field(description="Names beyond the 60 most frequent.")
    signals: list[Signal]
    totals: TotalsAnswer | None = Field(description="From daily totals, where the project has some.")
