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


class Adjusted(NamedTuple):
    """Adjusted means of all arms.

    Attributes:
        theta: One coefficient a covariate; 0 for one that does not vary.
        mean: Adjusted mean per arm: ȳ − θᵀ(x̄ − x̄ over all arms).
        variance: Adjusted variance of one unit, per arm: Var Y + θᵀ Var X θ − 2θᵀcov.
        covariance: Covariance of a unit's adjusted and unadjusted value, per arm: Var Y − θᵀcov.
        status: Empty, ``constant_covariate``, ``explains_all`` or ``too_few_units``; then nothing is adjusted.
        detail: One sentence on the status.
    """

    theta: Floats
    mean: Floats
    variance: Floats
    covariance: Floats
    status: str = ""
    detail: str = ""


def adjust(n: Floats, means: Floats, covariances: Floats) -> Adjusted:
    """Adjust the first column by the others.

    Args:
        n: Units per arm, shape (arms,); an arm with 0 takes no part.
        means: The metric's mean and the covariates', shape (arms, 1 + covariates).
        covariances: Within-arm unbiased covariances in the same order, shape (arms, 1 + covariates, 1 + covariates).
            A ratio metric is linearised first (`figures`).

    Returns:
        Adjusted figures, or the unadjusted ones with a status.

    Source:
        Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online controlled experiments by utilizing
        pre-experiment data" (2013), eq. 4, with θ from the covariances pooled within arms, as in ANCOVA.
    """
    freedom = np.maximum(n - 1, 0)
    pooled = (freedom[:, None, None] * covariances).sum(0) / max(freedom.sum(), 1.0)
    spread = np.diagonal(pooled)[1:]
    scale = np.maximum((n[:, None] * means[:, 1:] ** 2).sum(0) / max(n.sum(), 1.0), 1e-300)
    varies = spread > 1e-10 * np.maximum(scale, spread)  # beyond the rounding of sums of squares
    there = n > 0
    if (n[there] < 2).any():  # noqa: PLR2004 - a variance needs two
        return _unadjusted(means, covariances, "too_few_units", "A covariate is used once every arm has two units.")
    if not varies.any():
        return _unadjusted(means, covariances, "constant_covariate", "The covariate is the same for every unit.")
    if freedom.sum() < UNITS_PER_COVARIATE * varies.sum():
        needed = int(UNITS_PER_COVARIATE * varies.sum() + len(n))
        return _unadjusted(means, covariances, "too_few_units", f"A covariate is used from {needed} units on.")
    theta = _coefficients(pooled, spread, varies)
    centre = (n[:, None] * means[:, 1:]).sum(0) / max(n.sum(), 1.0)
    explained = covariances[:, 0, 1:] @ theta
    own = covariances[:, 0, 0]
    variance = own + theta @ covariances[:, 1:, 1:] @ theta - 2 * explained
    if ((own > 0) & (variance <= 1e-9 * own)).any():  # nothing is left to test by but rounding
        detail = "The covariate explains all of the metric: is it really known before exposure?"
        return _unadjusted(means, covariances, "explains_all", detail)
    if (there & (variance <= 0)).any():
        detail = "In one of the arms neither the metric nor the covariate varies."
        return _unadjusted(means, covariances, "constant_covariate", detail)
    mean = means[:, 0] - (means[:, 1:] - centre) @ theta
    return Adjusted(theta, mean, np.maximum(variance, 0.0), own - explained)


def _coefficients(pooled: Floats, spread: Floats, varies: NDArray[np.bool_]) -> Floats:
    if len(spread) == 1:
        one: Floats = pooled[0, 1:] / spread
        return one
    theta = np.zeros(len(spread))
    deviation = np.sqrt(spread[varies])
    correlation = pooled[1:, 1:][np.ix_(varies, varies)] / np.outer(deviation, deviation)
    # A pseudo-inverse, so that two covariates that say the same thing share the coefficient.
    theta[varies] = np.linalg.pinv(correlation, rcond=1e-9, hermitian=True) @ (pooled[1:, 0][varies] / deviation)
    theta[varies] /= deviation
    return theta


def _unadjusted(means: Floats, covariances: Floats, status: str, detail: str) -> Adjusted:
    own = covariances[:, 0, 0]
    return Adjusted(np.zeros(means.shape[1] - 1), means[:, 0], own, own, status, detail)
