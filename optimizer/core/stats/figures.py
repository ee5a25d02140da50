"""From a row of sums to what every method needs: per arm a mean, the variance of one unit, and the relative base.

This is where the families of metrics differ; all that follows (fixed, sequential, Bayesian, …) is the same for a
proportion, a mean, a ratio, adjusted or not.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from optimizer.core.stats.cross import CrossMoments, Sums
from optimizer.core.stats.cuped import adjust
from optimizer.core.stats.effects import Floats

Family = Literal["proportion", "mean", "ratio", "quantile"]
UNKNOWN_PRODUCTS = "The covariate's cross-products with the metric are not known."


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
        family: The metric's family.
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

    family: Family
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
    """Reduce a row to one metric's figures; see `figures_of_all`."""
    return figures_of_all([(row, measure)], adjusted=adjusted)[0]


def figures_of_all(wanted: Sequence[tuple[CrossMoments, Measure]], *, adjusted: bool = True) -> list[Figures]:
    """Reduce rows to the figures of several metrics, all that are made up alike at once.

    Args:
        wanted: Sums over units, per arm, and the metric's columns in them.
        adjusted: Use the covariates, where a measure has any.

    Raises:
        ValueError: A column is missing in its row, or a ratio has no denominator.
    """
    alike = defaultdict[tuple[bool, int, int], list[int]](list)
    for place, (row, measure) in enumerate(wanted):
        if measure.family == "ratio" and measure.denominator is None:
            raise ValueError("a ratio needs a denominator")
        covariates = len(measure.covariates) if adjusted else 0
        alike[measure.family == "ratio", covariates, len(row.arms)].append(place)
    found = dict[int, Figures]()
    for (_, covariates, _), places in alike.items():
        some = [wanted[place] for place in places]
        found.update(zip(places, _adjusted(some) if covariates else _plain(some), strict=True))
    return [found[place] for place in range(len(wanted))]


def _plain(wanted: Sequence[tuple[CrossMoments, Measure]]) -> list[Figures]:
    sums = _summed(wanted, [_own_columns(measure) for _, measure in wanted])
    means, covariances = sums.described()
    if wanted[0][1].family == "ratio":
        means, covariances = linearised(means, covariances)
    rates = np.array([measure.family == "proportion" for _, measure in wanted])
    mean = means[:, :, 0]
    # The rounding of sums of squares may go below 0.
    own = np.where(rates[:, None], mean * (1 - mean), np.maximum(covariances[:, :, 0, 0], 0.0))
    rows = zip(wanted, sums.n, sums.totals[:, :, 0], mean, own, _converters(wanted, sums), strict=True)
    return [
        Figures(measure.family, n, total, one, variance, one, variance, variance, converters)
        for (_, measure), n, total, one, variance, converters in rows
    ]


def _adjusted(wanted: Sequence[tuple[CrossMoments, Measure]]) -> list[Figures]:
    columns = [(*_own_columns(measure), *measure.covariates) for _, measure in wanted]
    sums = _summed(wanted, columns)
    means, covariances = sums.described()
    if wanted[0][1].family == "ratio":
        means, covariances = linearised(means, covariances)
    n = sums.n
    there = (n > 0) & np.isfinite(means).all(2)  # an arm without units or denominator must not touch the others
    cells, others = np.isnan(covariances).any((2, 3)), np.isnan(means[:, :, 1:]).any(2)
    unknown = np.asarray(((there & cells) | ((n > 0) & others)).any(1))
    there &= ~unknown[:, None]
    covariances_there = np.where(there[:, :, None, None], covariances, 0.0)
    found = adjust(np.where(there, n, 0.0), np.where(there[:, :, None], means, 0.0), covariances_there)
    own = np.maximum(covariances[:, :, 0, 0], 0.0)
    statuses = np.where(unknown, "unknown_products", found.statuses).tolist()
    details = np.where(unknown, UNKNOWN_PRODUCTS, found.details).tolist()
    without = [one for one, status in zip(wanted, statuses, strict=True) if status]
    plain = iter(figures_of_all(without, adjusted=False))
    totals, converters, answers = sums.totals[:, :, 0], _converters(wanted, sums), list[Figures]()
    for place, (_, measure) in enumerate(wanted):
        if statuses[place]:
            answers.append(replace(next(plain), status=statuses[place], detail=details[place]))
            continue
        adjusted = found.mean[place], found.variance[place], means[place, :, 0], own[place], found.covariance[place]
        answers.append(Figures(measure.family, n[place], totals[place], *adjusted, converters[place], adjusted=True))
    return answers


def linearised(means: Floats, covariances: Floats) -> tuple[Floats, Floats]:
    """Replace the first two columns, numerator and denominator, by one whose mean is their ratio R.

    To first order a unit's share in R is R + (M − R·D)/μ_D. Its variance is the delta method's Var M/μ_D² +
    Var D·μ_M²/μ_D⁴ − 2Cov·μ_M/μ_D³ (Deng, Knoblich, Lu, "Applying the delta method in metric analytics", 2018,
    eq. 6); covariances with further columns follow, so a ratio is adjusted like a mean. An arm whose denominator is
    not positive is NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(means[..., 1] > 0, 1 / means[..., 1], np.nan)
    ratio = means[..., 0] * inverse
    count = means.shape[-1] - 1
    weights = np.zeros((*means.shape[:-1], count, count + 1))
    weights[..., 0, 0], weights[..., 0, 1] = inverse, -ratio * inverse
    weights[..., range(1, count), range(2, count + 1)] = 1.0
    moved = np.concatenate([ratio[..., None], means[..., 2:]], axis=-1)
    return moved, weights @ covariances @ weights.swapaxes(-1, -2)


def _own_columns(measure: Measure) -> tuple[str, ...]:
    if measure.family == "ratio" and measure.denominator is not None:
        return measure.value, measure.denominator
    return (measure.value,)


def _summed(wanted: Sequence[tuple[CrossMoments, Measure]], columns: Sequence[tuple[str, ...]]) -> Sums:
    """Take the columns of each metric out of its row; metrics of one row at once, if they follow each other."""
    runs = itertools.groupby(range(len(wanted)), key=lambda place: id(wanted[place][0]))
    found = []
    for _, run in runs:
        places = list(run)
        found.append(wanted[places[0]][0].taken([columns[place] for place in places]))
    if len(found) == 1:
        return found[0]
    return Sums(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _converters(wanted: Sequence[tuple[CrossMoments, Measure]], sums: Sums) -> Floats:
    squares = sums.products[:, :, 0, 0]
    # By Cauchy-Schwarz (Σx)² ≤ c·Σx² over the c units with a value: so there are at least this many.
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.floor(sums.totals[:, :, 0] ** 2 / squares * (1 + 1e-9))
    found = np.where(squares > 0, least, 0.0)
    for place, (row, measure) in enumerate(wanted):
        if measure.converters is not None:
            found[place] = row.totals[:, row.place(measure.converters)]
    return found
