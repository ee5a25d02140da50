"""From a row of sums to what every method needs: per arm a mean, the variance of one unit, and the relative base.

This is where the families of metrics differ; all that follows (fixed, sequential, Bayesian, …) is the same for a
proportion, a mean, a ratio, adjusted or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.cuped import adjust
from optimizer.core.stats.effects import Floats

Family = Literal["proportion", "mean", "ratio", "quantile"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Which columns of a row make up a metric.

    Attributes:
        family: ``proportion`` for 0/1 values, ``mean`` for counts and sums, ``ratio`` for Σvalue/Σdenominator,
            ``quantile`` for rows of `quantiles.quantile_row`.
        value: Column of the value, or of a ratio's numerator.
        denominator: Column of a ratio's denominator.
        covariates: Columns known before exposure. For a ratio: the earlier numerator *and* denominator.
        converters: 0/1 column of "has a value", for the gate of means; without it a lower bound is used.
        tail: Of a quantile: column of the independent observations beyond it.
    """

    family: Family
    value: str
    denominator: str | None = None
    covariates: tuple[str, ...] = ()
    converters: str | None = None
    tail: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """One metric, arrays over arms. NaN marks what the source's sums cannot identify.

    Attributes:
        n: Units.
        total: Σ of the value (a ratio's numerator).
        mean: The metric, adjusted by the covariates where there are any.
        variance: Of one unit, so that variance/n is the sampling variance of the mean.
        base: The metric, unadjusted: what a relative effect is relative to.
        base_variance: Of one unit, unadjusted.
        covariance: Of one unit's adjusted and unadjusted value.
        converters: Units with a value.
        adjusted: Whether a covariate was used.
        status: Why a covariate was not used: empty, ``constant_covariate``, ``explains_all``,
            ``too_few_units``, ``unknown_products``.
        detail: One sentence on that.
    """

    n: Floats
    total: Floats
    mean: Floats
    variance: Floats
    base: Floats
    base_variance: Floats
    covariance: Floats
    converters: Floats
    adjusted: bool = False
    status: str = ""
    detail: str = ""


def figures(row: CrossMoments, measure: Measure, *, adjusted: bool = True) -> Figures:
    """Reduce a row to one metric's figures.

    Args:
        row: Sums over units, per arm.
        measure: The metric's columns.
        adjusted: Use the covariates, if the measure has any.

    Raises:
        ValueError: A column is missing in the row, or a ratio has no denominator.
    """
    names = [measure.value, *([measure.denominator] if measure.denominator else []), *measure.covariates]
    if measure.family == "ratio" and measure.denominator is None:
        raise ValueError("a ratio needs a denominator")
    means, covariances = row.described(names)
    converters = _converters(row, measure)
    if measure.family == "ratio":
        means, covariances = linearised(means, covariances)
    if measure.family == "proportion" and not (adjusted and measure.covariates):
        own = means[:, 0] * (1 - means[:, 0])
    else:
        own = np.maximum(covariances[:, 0, 0], 0.0)  # the rounding of sums of squares may go below
    mean, total = means[:, 0], row.totals[:, row.place(measure.value)]
    plain = Figures(row.n, total, mean, own, mean, own, own, converters)
    if not (adjusted and measure.covariates):
        return plain
    there = (row.n > 0) & np.isfinite(means).all(1)  # an arm without units or denominator must not touch the others
    if np.isnan(covariances[there]).any() or np.isnan(means[row.n > 0, 1:]).any():
        detail = "The covariate's cross-products with the metric are not known."
        return _without(row, measure, "unknown_products", detail)
    found = adjust(np.where(there, row.n, 0.0), *(np.where(_like(there, x), x, 0.0) for x in (means, covariances)))
    if found.status:
        return _without(row, measure, found.status, found.detail)
    return Figures(row.n, total, found.mean, found.variance, mean, own, found.covariance, converters, adjusted=True)


def linearised(means: Floats, covariances: Floats) -> tuple[Floats, Floats]:
    """Replace the first two columns, numerator and denominator, by one whose mean is their ratio R.

    To first order a unit's share in R is R + (M − R·D)/μ_D. Its variance is the delta method's Var M/μ_D² +
    Var D·μ_M²/μ_D⁴ − 2Cov·μ_M/μ_D³ (Deng, Knoblich, Lu, "Applying the delta method in metric analytics", 2018,
    eq. 6); covariances with further columns follow, so a ratio is adjusted like a mean. An arm whose denominator is
    not positive is NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(means[:, 1] > 0, 1 / means[:, 1], np.nan)
    ratio = means[:, 0] * inverse
    count = means.shape[1] - 1
    weights = np.zeros((len(means), count, count + 1))
    weights[:, 0, 0], weights[:, 0, 1] = inverse, -ratio * inverse
    weights[:, range(1, count), range(2, count + 1)] = 1.0
    moved = np.concatenate([ratio[:, None], means[:, 2:]], axis=1)
    return moved, weights @ covariances @ weights.transpose(0, 2, 1)


def _like(there: NDArray[np.bool_], array: Floats) -> NDArray[np.bool_]:
    return there.reshape(-1, *(1,) * (array.ndim - 1))


def _without(row: CrossMoments, measure: Measure, status: str, detail: str) -> Figures:
    plain = figures(row, measure, adjusted=False)
    return Figures(
        plain.n,
        plain.total,
        plain.mean,
        plain.variance,
        plain.base,
        plain.base_variance,
        plain.covariance,
        plain.converters,
        status=status,
        detail=detail,
    )


def _converters(row: CrossMoments, measure: Measure) -> Floats:
    if measure.converters is not None:
        return row.totals[:, row.place(measure.converters)]
    place = row.place(measure.value)
    squares = row.products[:, place, place]
    # By Cauchy-Schwarz (Σx)² ≤ c·Σx² over the c units with a value: so there are at least this many.
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.floor(row.totals[:, place] ** 2 / squares * (1 + 1e-9))
    return np.where(squares > 0, least, 0.0)
