"""How likely each unit is to reach the goal soon: trained on past weeks, judged on later ones, refused when unproven.

Moments one horizon apart are looked back at, so that no outcome is counted twice: the earliest train, the one before
last calibrates, the last one judges. The answer is a model card; a model that cannot be told apart from chance, or
learned from too few conversions, is refused in a sentence and never used.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from optimizer.core import likelihood as core
from optimizer.core.likelihood import LinearModel
from optimizer.signals.goal import asked_goal, needed_goal
from optimizer.signals.models import Sample, fit_likelihood
from optimizer.signals.recent import HISTORY, Recipe, choose_recipe, features, reached_goal
from optimizer.storage.events import EventStore, as_utc
from optimizer.storage.stores import Stores

MOMENTS = 8
SMALLEST_MOMENTS = 3
ROWS_A_MOMENT = 25_000
MINIMUM_TRAINING = 100
MINIMUM_LATER = 20
CHANCE = 0.5
GROSSLY = (0.5, 2.0)  # a season moves rates by less; beyond, a threshold on the likelihood means something else
CAVEAT = "Predicted, not caused: how likely a unit like this one is to reach the goal, not what would bring it there."
Pair = tuple[float, float]


class LikelihoodRequest(BaseModel):
    """What to learn."""

    model_config = ConfigDict(extra="forbid")

    goal: str | None = Field(
        None, min_length=1, max_length=200, description="By default the policy's or the only macro conversion."
    )
    horizon_days: int = Field(7, ge=1, le=30, description="Within so many days the goal counts as reached.")


class Split(BaseModel):
    """A part of the data."""

    start: dt.datetime = Field(description="The first moment looked back from.")
    end: dt.datetime = Field(description="When its last outcome was known.")
    units: int = Field(description="Units at those moments; one seen at two moments counts twice.")
    conversions: int


class CalibrationBin(BaseModel):
    """Units of about the same prediction."""

    predicted: float
    observed: float
    interval: Pair = Field(description="Wilson, 95%.")
    units: int


class Judgement(BaseModel):
    """How the model did on the last moment, which it had no part in."""

    auc: float = Field(description="Chance that a converter is ranked above another unit.")
    auc_interval: Pair = Field(description="95%, Hanley and McNeil.")
    auc_of_activity: float = Field(description="Of merely counting events: what the model has to beat.")
    log_loss_bits: float
    log_loss_of_rate_bits: float = Field(description="Of saying the overall rate to everybody.")
    brier: float
    conversions_ratio: float = Field(description="Observed / predicted conversions: 1 is perfect on the whole.")
    conversions_ratio_interval: Pair
    calibration_slope: float | None = Field(description="1 is perfect; below, predictions are too extreme.")
    calibration_slope_interval: Pair | None
    calibration_intercept: float | None
    calibration: list[CalibrationBin]


class Feature(BaseModel):
    """One of the features that move predictions most."""

    feature: str
    weight: float = Field(description="Change of the log-odds by one standard deviation.")


class Coefficients(BaseModel):
    """The model itself: log-odds = intercept + Σ coefficient · feature."""

    events: list[str]
    kinds: list[tuple[str, str]]
    coefficients: list[float]
    intercept: float


class ModelCard(BaseModel):
    """What was learned, from what, and how well it holds."""

    status: Literal["ok", "refused"]
    reason: str
    caveat: str = CAVEAT
    goal: str
    horizon_days: int
    history_days: int = HISTORY.days
    trained_at: dt.datetime
    training: Split | None
    calibration: Split | None
    test: Split | None
    judgement: Judgement | None
    top_features: list[Feature]
    model: Coefficients | None = Field(description="Null when refused.")

    def linear(self) -> tuple[Recipe, LinearModel]:
        """Return what scores units.

        Raises:
            ValueError: The card is a refusal.
        """
        if self.model is None:
            raise ValueError("a refused card holds no model")
        recipe = Recipe(tuple(self.model.events), tuple(self.model.kinds))
        return recipe, LinearModel(recipe.names, tuple(self.model.coefficients), self.model.intercept)


@dataclass(frozen=True, slots=True)
class _Moment:
    """Units as they were at a moment, and what became of them."""

    at: dt.datetime
    sample: Sample


def train(stores: Stores, project_id: int, request: LikelihoodRequest, *, now: dt.datetime) -> ModelCard:
    """Train, judge, and write the card; nothing is stored.

    Raises:
        NotFoundError: The goal is neither in the catalog nor was ever sent.
        InvalidInputError: No goal is named, and none is known.
    """
    goal = _goal(stores, project_id, request)
    horizon = dt.timedelta(days=request.horizon_days)
    needed_goal(stores, project_id, goal)
    begun = _begun(stores, project_id) or now
    times = [now - horizon * (place + 1) for place in range(MOMENTS)]
    times = sorted(at for at in times if at >= begun)
    recipe = Recipe((), ())
    if times:
        recipe = choose_recipe(stores.events, project_id, since=times[0] - HISTORY, until=times[-1])
    moments = [_Moment(at, _sample(stores.events, project_id, recipe, goal, (at, at + horizon))) for at in times]
    card = ModelCard(
        status="refused",
        reason=_too_little(moments, request.horizon_days) or "",
        goal=goal,
        horizon_days=request.horizon_days,
        trained_at=now,
        training=_split(moments[:-2], horizon),
        calibration=_split(moments[-2:-1], horizon),
        test=_split(moments[-1:], horizon),
        judgement=None,
        top_features=[],
        model=None,
    )
    return card if card.reason else _learned(card, recipe, moments)


def _learned(card: ModelCard, recipe: Recipe, moments: list[_Moment]) -> ModelCard:
    training = _stacked(moments[:-2])
    model = fit_likelihood(recipe.names, training, moments[-2].sample)
    judgement = _judge(model, moments[-1].sample)
    against = _against(judgement)
    if against:
        return card.model_copy(update={"reason": against, "judgement": judgement})
    low, high = judgement.auc_interval
    reason = f"AUC {judgement.auc:.2f} ({low:.2f} to {high:.2f}) on weeks after those it learned from."
    top = core.strongest(model, list(training.rows.std(axis=0)))
    return card.model_copy(
        update={
            "status": "ok",
            "reason": reason,
            "judgement": judgement,
            "top_features": [Feature(feature=name, weight=weight) for name, weight in top],
            "model": Coefficients(
                events=list(recipe.events),
                kinds=list(recipe.kinds),
                coefficients=list(model.coefficients),
                intercept=model.intercept,
            ),
        }
    )


def _against(judged: Judgement) -> str | None:
    low, high = judged.auc_interval
    if low <= CHANCE:
        return f"AUC {judged.auc:.2f} ({low:.2f} to {high:.2f}) on the last weeks is not told apart from chance."
    slope = judged.calibration_slope_interval or (1.0, 1.0)
    for name, (lower, upper) in (("slope", slope), ("observed ÷ predicted", judged.conversions_ratio_interval)):
        if upper < GROSSLY[0] or lower > GROSSLY[1]:
            return f"Its likelihoods are off on the last weeks: {name} {lower:.2f} to {upper:.2f}, where 1 is right."
    return None


def _judge(model: LinearModel, sample: Sample) -> Judgement:
    log_odds = model.log_odds(sample.rows)
    predicted = core.probabilities(log_odds)
    hits, rate = sample.conversions, float(sample.outcome.mean())
    area = core.area_under_curve(log_odds, sample.outcome) or CHANCE
    found = core.calibrate(log_odds, sample.outcome)
    ratio, ratio_interval = core.conversion_ratio(predicted, sample.outcome)
    return Judgement(
        auc=area,
        auc_interval=core.area_interval(area, hits, len(sample.outcome) - hits),
        auc_of_activity=core.area_under_curve(sample.rows[:, 2], sample.outcome) or CHANCE,
        log_loss_bits=core.log_loss(predicted, sample.outcome),
        log_loss_of_rate_bits=core.log_loss(np.full(len(predicted), rate), sample.outcome),
        brier=core.brier_score(predicted, sample.outcome),
        conversions_ratio=ratio,
        conversions_ratio_interval=ratio_interval,
        calibration_slope=found.slope if found else None,
        calibration_slope_interval=found.slope_interval if found else None,
        calibration_intercept=found.intercept if found else None,
        calibration=[
            CalibrationBin(predicted=one.predicted, observed=one.observed, interval=one.interval, units=one.units)
            for one in core.calibration_bins(predicted, sample.outcome)
        ],
    )


def _too_little(moments: list[_Moment], horizon_days: int) -> str | None:
    if len(moments) < SMALLEST_MOMENTS:
        needed = SMALLEST_MOMENTS * horizon_days
        return f"The history is too short: learning, calibrating and judging take {needed} days before now."
    learned = sum(moment.sample.conversions for moment in moments[:-2])
    if learned < MINIMUM_TRAINING:
        return f"{learned} conversions to learn from; it takes {MINIMUM_TRAINING}."
    for moment, why in ((moments[-2], "calibrate on"), (moments[-1], "judge by")):
        if moment.sample.conversions < MINIMUM_LATER:
            return f"{moment.sample.conversions} conversions to {why}; it takes {MINIMUM_LATER}."
    if learned == sum(len(moment.sample.outcome) for moment in moments[:-2]):
        return "Everybody reached the goal: there is nothing to tell apart."
    last = moments[-1].sample
    return "Everybody reached the goal: there is nothing to tell apart." if last.outcome.all() else None


def _goal(stores: Stores, project_id: int, request: LikelihoodRequest) -> str:
    with stores.control.reading() as session:
        return asked_goal(session, project_id, request.goal, "/goal")


def _begun(stores: Stores, project_id: int) -> dt.datetime | None:
    events = stores.events.events(project_id)
    [row] = events.agg(first=events.timestamp.min(), n=events.count()).to_pyarrow().to_pylist()
    return as_utc(row["first"]) if row["n"] else None  # of nothing, ClickHouse makes the year 1970


def _sample(
    store: EventStore, project_id: int, recipe: Recipe, goal: str, within: tuple[dt.datetime, dt.datetime]
) -> Sample:
    at, until = within
    found = features(store, project_id, recipe, at)
    every = -(-int(found.count().to_pyarrow().as_py()) // ROWS_A_MOMENT)
    if every > 1:
        found = found.filter(found.draw % every == 0)
    reached = reached_goal(store, project_id, goal, at, until).mutate(outcome=1.0)
    joined = found.left_join(reached, "unit_id")
    columns = [f"x{place}" for place in range(len(recipe.names))]
    table = joined.select("unit_id", *columns, outcome=joined.outcome.fill_null(0.0)).order_by("unit_id").to_pyarrow()
    rows = np.column_stack([table[name].to_numpy() for name in columns])
    return Sample(rows.astype(float), table["outcome"].to_numpy().astype(float))


def _stacked(moments: list[_Moment]) -> Sample:
    stacked = moments[0].sample
    for moment in moments[1:]:
        stacked += moment.sample
    return stacked


def _split(moments: list[_Moment], horizon: dt.timedelta) -> Split | None:
    if not moments:
        return None
    return Split(
        start=moments[0].at,
        end=moments[-1].at + horizon,
        units=sum(len(moment.sample.outcome) for moment in moments),
        conversions=sum(moment.sample.conversions for moment in moments),
    )
