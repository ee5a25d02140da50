"""Variance reduction by what was known before exposure (CUPED), for any number of covariates.

A covariate that some units lack (newcomers have no history) is sent as two columns: the value with the mean in place
of what is missing, and a 0/1 indicator of missing. With the indicator beside it any constant does as well as the mean
(the indicator's coefficient takes up the difference), so one scan suffices. One θ serves every arm: with one θ per
arm the adjustment would be another estimator, and its arms would not be comparable. Adjusting never changes whom an
effect is relative to: the base stays the unadjusted control mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.stats.effects import Floats

UNITS_PER_COVARIATE = 10  # below, θ is mostly noise and the adjusted variance is too small
FEWEST = 2  # with fewer units an arm has no variance
LEFT = 1e-9  # of the variance: if no more is left, nothing is left to test by but rounding
EXPLAINS_ALL = "The covariate explains all of the metric: is it really known before exposure?"
NOTHING_VARIES = "In one of the arms neither the metric nor the covariate varies."


class Adjusted(NamedTuple):
    """Adjusted means of all arms, for several metrics; without a status where they mean something.

    Attributes:
        theta: One coefficient a covariate, shape (metrics, covariates); 0 for one that does not vary.
        mean: Adjusted mean per arm, shape (metrics, arms): ȳ − θᵀ(x̄ − x̄ over all arms).
        variance: Adjusted variance of one unit, per arm: Var Y + θᵀ Var X θ − 2θᵀcov.
        covariance: Covariance of a unit's adjusted and unadjusted value, per arm: Var Y − θᵀcov.
        statuses: Per metric: empty, ``constant_covariate``, ``explains_all`` or ``too_few_units``; one with a status
            is not to be adjusted.
        details: One sentence on each status.
    """

    theta: Floats
    mean: Floats
    variance: Floats
    covariance: Floats
    statuses: list[str]
    details: list[str]


def adjust(n: Floats, means: Floats, covariances: Floats) -> Adjusted:
    """Adjust the first column by the others, for several metrics with equally many covariates.

    Args:
        n: Units, shape (metrics, arms); an arm with 0 takes no part.
        means: The metric's mean and the covariates', shape (metrics, arms, 1 + covariates).
        covariances: Within-arm unbiased covariances in the same order, with one axis more. A ratio metric is
            linearised first (`figures`).

    Source:
        Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online controlled experiments by utilizing
        pre-experiment data" (2013), eq. 4, with θ from the covariances pooled within arms, as in ANCOVA.
    """
    freedom, units = np.maximum(n - 1, 0), np.maximum(n.sum(1), 1.0)
    pooled = np.einsum("ma,maij->mij", freedom, covariances) / np.maximum(freedom.sum(1), 1.0)[:, None, None]
    spread = np.diagonal(pooled, axis1=1, axis2=2)[:, 1:]
    scale = np.maximum(np.einsum("ma,mac->mc", n, means[:, :, 1:] ** 2) / units[:, None], 1e-300)
    varies = spread > 1e-10 * np.maximum(scale, spread)  # beyond the rounding of sums of squares
    theta = _coefficients(pooled, spread, varies)
    centre = np.einsum("ma,mac->mc", n, means[:, :, 1:]) / units[:, None]
    explained = np.einsum("mac,mc->ma", covariances[:, :, 0, 1:], theta)
    own = covariances[:, :, 0, 0]
    variance = own + np.einsum("mc,macd,md->ma", theta, covariances[:, :, 1:, 1:], theta) - 2 * explained
    mean = means[:, :, 0] - np.einsum("mac,mc->ma", means[:, :, 1:] - centre[:, None, :], theta)
    return Adjusted(theta, mean, np.maximum(variance, 0.0), own - explained, *_why_not(n, varies, own, variance))


def _why_not(n: Floats, varies: NDArray[np.bool_], own: Floats, variance: Floats) -> tuple[list[str], list[str]]:
    """Return per metric the status and the sentence of the first reason not to adjust; both empty for none."""
    there, most = n > 0, UNITS_PER_COVARIATE * varies.sum(1)
    reasons = (
        ((there & (n < FEWEST)).any(1), "too_few_units", "A covariate is used once every arm has two units."),
        (~varies.any(1), "constant_covariate", "The covariate is the same for every unit."),
        (np.maximum(n - 1, 0).sum(1) < most, "too_few_units", "A covariate is used from {} units on."),
        (((own > 0) & (variance <= LEFT * own)).any(1), "explains_all", EXPLAINS_ALL),
        ((there & (variance <= 0)).any(1), "constant_covariate", NOTHING_VARIES),
    )
    first = np.select([mask for mask, _, _ in reasons], range(len(reasons)), -1).tolist()
    needed = (most + n.shape[1]).tolist()
    statuses = [reasons[place][1] if place >= 0 else "" for place in first]
    details = [reasons[p][2].format(number) if p >= 0 else "" for p, number in zip(first, needed, strict=True)]
    return statuses, details


def _coefficients(pooled: Floats, spread: Floats, varies: NDArray[np.bool_]) -> Floats:
    safe, with_metric = np.where(varies, spread, 1.0), np.where(varies, pooled[:, 1:, 0], 0.0)
    if spread.shape[1] == 1:
        one: Floats = with_metric / safe
        return one
    deviation = np.sqrt(safe)
    both = varies[:, :, None] & varies[:, None, :]
    correlation = np.where(both, pooled[:, 1:, 1:], 0.0) / (deviation[:, :, None] * deviation[:, None, :])
    # A pseudo-inverse, so that two covariates that say the same thing share the coefficient.
    inverse = np.linalg.pinv(correlation, rcond=1e-9, hermitian=True)
    theta: Floats = np.einsum("mij,mj->mi", inverse, with_metric / deviation) / deviation
    return theta
