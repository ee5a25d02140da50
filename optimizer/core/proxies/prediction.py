"""A forecast of the goal from a proxy's measured effect, with everything in its interval that is not known.

The measured effect is drawn towards what past tests showed, as far as its own noise asks for. The interval holds what
the proxy leaves open about the goal even if it were known exactly, and how uncertain past tests leave the line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.covariance import (
    by_experiment,
    clip,
    covariance_from,
    each_left_out,
    mean_from,
    totalled,
)
from optimizer.core.proxies.normal import Pair
from optimizer.core.proxies.slope import jackknife_error
from optimizer.core.stats.effects import Interval, check_alpha


class GoalForecast(NamedTuple):
    """What a measured proxy effect says about the true goal effect.

    Attributes:
        estimate: In the goal's own unit.
        interval: Prediction interval for the true effect, t with K − 1 degrees of freedom.
        standard_error: Of the prediction: residual spread and the line's uncertainty together.
        chance_positive: That the true goal effect is above 0.
    """

    estimate: float
    interval: Interval
    standard_error: float
    chance_positive: float


def forecast_goal(corpus: Corpus, proxy_effect: float, noise: float, alpha: float = 0.05) -> GoalForecast | None:
    """Forecast the goal's true effect.

    Args:
        corpus: Past comparisons without the test itself; proxy first, goal last.
        proxy_effect: Measured, treatment minus control.
        noise: Its sampling variance.
        alpha: The interval's level is 1 − alpha.

    Returns:
        The forecast; None when the proxy varied neither in the past nor in this test.

    Raises:
        ValueError: Fewer than three experiments, noise is negative, or alpha is outside (0, 1).
    """
    return _forecast(corpus, proxy_effect, np.array([[noise, 0.0], [0.0, 0.0]]), alpha)


def forecast_measurement(
    corpus: Corpus, proxy_effect: float, noise: np.ndarray, alpha: float = 0.05
) -> GoalForecast | None:
    """Forecast what the same test will *measure* of the goal, noise that it shares with the proxy included.

    This, not the true effect's interval, is what a matured measurement is held against.

    Args:
        corpus: Past comparisons without the test itself; proxy first, goal last.
        proxy_effect: Measured, treatment minus control.
        noise: Ξ of the test's proxy and goal effects, shape (2, 2).
        alpha: The interval's level is 1 − alpha.

    Returns:
        The forecast; None when the proxy varied neither in the past nor in this test.

    Raises:
        ValueError: As in `forecast_goal`.
    """
    return _forecast(corpus, proxy_effect, noise, alpha)


def chance_of_agreement(corpus: Corpus, proxy_effect: float, noise: np.ndarray) -> float | None:
    """Return how likely the *measured* goal effect will have the sign that the forecast has.

    Noise that proxy and goal share makes measured signs agree more often than true ones; a score of agreements is
    held against this chance, so that it cannot look good for that reason alone.

    Args:
        corpus: Past comparisons without the test itself; proxy first, goal last.
        proxy_effect: Measured.
        noise: Ξ of the test's proxy and goal effects, shape (2, 2).

    Returns:
        The chance; None when the proxy varied neither in the past nor in this test.

    Raises:
        ValueError: As in `forecast_goal`.
    """
    said = forecast_goal(corpus, proxy_effect, float(noise[0, 0]))
    measured = forecast_measurement(corpus, proxy_effect, noise)
    if said is None or measured is None:
        return None
    return measured.chance_positive if said.estimate > 0 else 1 - measured.chance_positive


def _forecast(corpus: Corpus, proxy_effect: float, noise: np.ndarray, alpha: float) -> GoalForecast | None:
    check_alpha(alpha)
    if noise[0, 0] < 0:
        raise ValueError("noise must not be negative")
    count = len(corpus)
    if count < 3:  # noqa: PLR2004 - one left out, two to compare
        raise ValueError("corpus must hold three experiments or more")
    pair = corpus.of_metrics([0, corpus.effects.shape[1] - 1])
    parts = by_experiment(pair)
    whole = totalled(parts)
    estimate = _line(mean_from(whole), covariance_from(whole), proxy_effect, noise)
    without = each_left_out(parts)
    left_out = _line(mean_from(without), covariance_from(without), proxy_effect, noise)
    if not np.isfinite(estimate) or not np.isfinite(left_out).all():
        return None
    covariance, _ = clip(covariance_from(whole))
    residual = Pair.of(mean_from(whole), covariance + noise).residual_variance
    error = math.hypot(math.sqrt(residual), float(jackknife_error(left_out)))
    half = float(-special.stdtrit(count - 1, alpha / 2)) * error
    centre = float(estimate)
    chance = float(special.stdtr(count - 1, centre / error)) if error > 0 else float(centre > 0)
    return GoalForecast(centre, Interval(centre - half, centre + half), error, chance)


def _line(mean: np.ndarray, covariance: np.ndarray, proxy_effect: float, noise: np.ndarray) -> np.ndarray:
    spread = covariance[..., 0, 0] + noise[0, 0]
    together = covariance[..., 0, 1] + noise[0, 1]
    slope = np.divide(together, spread, out=np.full_like(spread, np.nan), where=spread > 0)
    return np.asarray(mean[..., 1] + slope * (proxy_effect - mean[..., 0]))
