"""How good a predicted probability is: does it rank (AUC), say what happens (calibration), beat a rate.

A model is judged on weeks after those it learned from, because that is how it will be used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from optimizer.core.stats.effects import Interval
from optimizer.core.stats.proportions import wilson_interval

ALPHA = 0.05
BINS = 10
NEWTON_STEPS = 50
TOLERANCE = 1e-10
STEEPEST = 20.0  # a slope beyond this is running away: the predictions separate the outcomes perfectly
SMALLEST = 1e-12
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A calibrated logistic model: log-odds = intercept + Σ coefficient · feature.

    Attributes:
        features: What each coefficient belongs to.
        coefficients: On the features as they are, not standardised.
        intercept: Calibration included.
    """

    features: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        """Refuse what cannot be computed with."""
        if len(self.features) != len(self.coefficients):
            raise ValueError("features and coefficients must be as many")
        if not all(math.isfinite(number) for number in (*self.coefficients, self.intercept)):
            raise ValueError("coefficients and intercept must be finite")

    def log_odds(self, rows: Array) -> Array:
        """Return the log-odds of each row; columns in the order of `features`."""
        found: Array = rows @ np.array(self.coefficients) + self.intercept
        return found


class Calibration(NamedTuple):
    """Outcomes regressed on predicted log-odds (Cox 1958): intercept 0 and slope 1 is perfect.

    Attributes:
        intercept: Above 0: more happens than predicted.
        slope: Below 1: predictions are too extreme.
        slope_interval: At 95%.
    """

    intercept: float
    slope: float
    slope_interval: Interval


class Bin(NamedTuple):
    """Units of about the same predicted probability.

    Attributes:
        predicted: Their mean prediction.
        observed: Share of them that converted.
        interval: Wilson's, at 95%.
        units: How many.
    """

    predicted: float
    observed: float
    interval: Interval
    units: int


def probabilities(log_odds: Array) -> Array:
    """Turn log-odds into probabilities."""
    found: Array = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return found


def area_under_curve(score: Array, outcome: Array) -> float | None:
    """Return the chance that a converter scores above a non-converter, ties counted half.

    Args:
        score: Higher is likelier.
        outcome: 0 or 1.

    Returns:
        None when all or none convert.
    """
    hits = int(outcome.sum())
    misses = len(outcome) - hits
    if not hits or not misses:
        return None
    ranks = scipy.stats.rankdata(score)
    return (float(ranks[outcome > 0].sum()) - hits * (hits + 1) / 2) / (hits * misses)


def area_interval(area: float, hits: int, misses: int) -> Interval:
    """Return the 95% interval of an AUC (Hanley and McNeil 1982, with their exponential-model variance).

    Raises:
        ValueError: hits or misses is below 1.
    """
    if hits < 1 or misses < 1:
        raise ValueError("hits and misses must be at least 1")
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    square = area**2
    variance = (area * (1 - area) + (hits - 1) * (one - square) + (misses - 1) * (two - square)) / (hits * misses)
    error = float(-special.ndtri(ALPHA / 2)) * math.sqrt(max(variance, 0.0))
    return Interval(max(0.0, area - error), min(1.0, area + error))


def calibrate(log_odds: Array, outcome: Array) -> Calibration | None:
    """Regress outcomes on predicted log-odds by maximum likelihood.

    Returns:
        None where no finite fit exists: predictions that are all the same, or that separate the outcomes perfectly.
    """
    if not 0 < outcome.sum() < len(outcome) or np.ptp(log_odds) < SMALLEST:
        return None
    intercept, slope = 0.0, 1.0
    for _ in range(NEWTON_STEPS):
        chance = probabilities(intercept + slope * log_odds)
        weight, rest = chance * (1 - chance), outcome - chance
        a, b, c = (float((weight * log_odds**power).sum()) for power in (0, 1, 2))
        determinant = a * c - b * b
        if determinant <= SMALLEST * a * c:
            return None
        up, along = float(rest.sum()), float((rest * log_odds).sum())
        step_up, step_along = (c * up - b * along) / determinant, (a * along - b * up) / determinant
        intercept, slope = intercept + step_up, slope + step_along
        if abs(slope) > STEEPEST or abs(intercept) > 10 * STEEPEST:
            return None
        if abs(step_up) + abs(step_along) < TOLERANCE:
            error = float(-special.ndtri(ALPHA / 2)) * math.sqrt(a / determinant)
            return Calibration(intercept, slope, Interval(slope - error, slope + error))
    return None


def conversion_ratio(predicted: Array, outcome: Array) -> tuple[float, Interval]:
    """Return observed over predicted conversions with its 95% interval: 1 is perfect on the whole.

    The interval is that of a sum of independent indicators with the predicted chances, so it holds where the
    predictions do.
    """
    expected = max(float(predicted.sum()), SMALLEST)
    ratio = float(outcome.sum()) / expected
    error = float(-special.ndtri(ALPHA / 2)) * math.sqrt(float((predicted * (1 - predicted)).sum())) / expected
    return ratio, Interval(max(0.0, ratio - error), ratio + error)


def calibration_bins(predicted: Array, outcome: Array, bins: int = BINS) -> list[Bin]:
    """Group by predicted probability, about equally many units a bin; equal predictions stay together."""
    if not len(predicted):
        return []
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, predicted, side="left")
    found = []
    for number in np.unique(place):
        held = place == number
        units, hits = int(held.sum()), int(outcome[held].sum())
        observed = hits / units
        found.append(Bin(float(predicted[held].mean()), observed, wilson_interval(hits, units, ALPHA), units))
    return found


def log_loss(predicted: Array, outcome: Array) -> float:
    """Return the mean log-loss in bits."""
    held = np.clip(predicted, SMALLEST, 1 - SMALLEST)
    return float(-(outcome * np.log2(held) + (1 - outcome) * np.log2(1 - held)).mean())


def brier_score(predicted: Array, outcome: Array) -> float:
    """Return the mean squared distance of prediction and outcome (Brier 1950)."""
    return float(((predicted - outcome) ** 2).mean())


def strongest(model: LinearModel, spreads: Sequence[float], count: int = 10) -> list[tuple[str, float]]:
    """Name the features that move predictions most.

    Args:
        model: The model.
        spreads: Standard deviation of each feature.
        count: How many.

    Returns:
        (feature, change of the log-odds by one standard deviation), strongest first.
    """
    effects = [
        (name, coefficient * spread)
        for name, coefficient, spread in zip(model.features, model.coefficients, spreads, strict=True)
    ]
    return sorted((one for one in effects if one[1]), key=lambda one: (-abs(one[1]), one[0]))[:count]
