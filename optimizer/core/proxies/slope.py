"""The slope: how much true goal effect comes with one unit of true proxy effect, and how well past tests pin it down.

The delete-one-experiment jackknife takes in everything that varies over experiments. The evidence is judged by the
interval's width alone: with ten experiments the slope ranged from −4.5 to 5.3 times the truth, with others ten are
plenty, so a count of experiments says nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.covariance import (
    Additive,
    by_experiment,
    covariance_from,
    each_left_out,
    mean_from,
    solve_positive,
    totalled,
)
from optimizer.core.stats.effects import Interval, check_alpha

WIDEST = 1.0  # of the standardised slope's interval: half of everything a correlation can be


class Slope(NamedTuple):
    """b = Λ_SS⁻¹Λ_SY over p − 1 proxies; the goal is the last metric.

    Attributes:
        estimate: Shape (p − 1,).
        standard_error: Delete-one-experiment jackknife, shape (p − 1,).
        interval: Of the first proxy's slope, t with K − 1 degrees of freedom.
        width: Of that interval after both metrics are scaled to a spread of 1 over experiments; infinite when one
            of them does not vary beyond its noise.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    interval: Interval
    width: float

    @property
    def pinned_down(self) -> bool:
        """Whether the interval is narrow enough to say anything."""
        return self.width <= WIDEST


def slope(corpus: Corpus, alpha: float = 0.05) -> Slope | None:
    """Estimate the slope of the goal (last metric) on the proxies (all others).

    Returns:
        The slope; None when the proxies' effects do not vary beyond their noise, in any direction.

    Raises:
        ValueError: Fewer than three experiments, fewer than two metrics, or alpha is outside (0, 1).
    """
    check_alpha(alpha)
    if corpus.effects.shape[1] < 2:  # noqa: PLR2004 - a proxy and the goal
        raise ValueError("corpus must hold a proxy and the goal")
    count = len(corpus)
    if count < 3:  # noqa: PLR2004 - one left out, two to compare
        raise ValueError("corpus must hold three experiments or more")
    parts = by_experiment(corpus)
    whole = covariance_from(totalled(parts))
    estimate = slope_from(whole)
    if estimate is None:
        return None
    left_out = [slope_from(one) for one in covariance_from(each_left_out(parts))]
    usable = [one for one in left_out if one is not None]
    error = jackknife_error(np.array(usable)) if len(usable) == count else np.full(len(estimate), math.inf)
    half = float(-special.stdtrit(count - 1, alpha / 2) * error[0])
    interval = Interval(float(estimate[0]) - half, float(estimate[0]) + half)
    scale = whole[0, 0] / whole[-1, -1] if whole[0, 0] > 0 and whole[-1, -1] > 0 else math.inf
    return Slope(estimate, error, interval, 2 * half * math.sqrt(scale))


def slope_from(covariance: np.ndarray) -> np.ndarray | None:
    """Solve Λ_SS b = Λ_SY.

    Returns:
        b, or None when Λ_SS is not positive definite: a proxy does not vary, or copies the others.
    """
    return solve_positive(covariance[:-1, :-1], covariance[:-1, -1])


def jackknife_error(left_out: np.ndarray) -> np.ndarray:
    """Return the jackknife standard error from the estimates without each experiment, along the first axis."""
    count = len(left_out)
    return np.asarray(np.sqrt((count - 1) / count * ((left_out - left_out.mean(0)) ** 2).sum(0)))


def naive_slope(corpus: Corpus) -> tuple[float, float] | None:
    """Return what a plot of measured effects shows for the first proxy: its fitted slope and correlation.

    Both mistake shared noise for agreement of effects: their limit is (Λ + Ξ)_SY over (Λ + Ξ)_SS.

    Returns:
        Slope and correlation; None when either metric's measured effects are all alike.
    """
    sums: Additive = totalled(by_experiment(corpus))
    mean = mean_from(sums) - sums.centre
    spread = sums.products / sums.weight - np.outer(mean, mean)
    if spread[0, 0] <= 0 or spread[-1, -1] <= 0:
        return None
    correlation = spread[0, -1] / math.sqrt(spread[0, 0] * spread[-1, -1])
    return float(spread[0, -1] / spread[0, 0]), float(np.clip(correlation, -1, 1))
