"""Pairs of arms as arrays: the one shape that every method of comparison takes and answers.

A pair is an arm and its baseline on one metric. Any number of metrics and arms are laid side by side, so that a
method is a handful of array operations however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.effects import Effect, Floats, Interval
from optimizer.core.stats.figures import Family, Figures, Measure, figures
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.ratios import Lifts, Relation, relative_lifts

BY_ARM = ("n", "total", "mean", "variance", "base", "base_variance", "covariance", "converters")  # of `Figures`


@dataclass(frozen=True, slots=True)
class Pairs:
    """Arrays with one entry a pair; `a` is the baseline, `b` the arm.

    Attributes:
        n_a: Units.
        n_b: Units.
        total_a: Σ of the value.
        total_b: Σ of the value.
        mean_a: The metric (adjusted by covariates where there are any).
        mean_b: The metric.
        variance_a: Sampling variance of `mean_a`.
        variance_b: Sampling variance of `mean_b`.
        pooled: Sampling variance of the difference under one common rate, for proportions; else 0.
        base: Unadjusted mean of the baseline.
        base_variance: Its sampling variance.
        covariance: Sampling covariance of the difference and the base.
        converters_a: Units with a value.
        converters_b: Units with a value.
        planned: N*: planned units of the pair.
        counts: 1 where both arms hold unadjusted 0/1 values, so that exact methods apply.
        ratio: 1 for ratio metrics.
        quantile: 1 for quantiles.
        adjusted: 1 where covariates were used.
    """

    n_a: Floats
    n_b: Floats
    total_a: Floats
    total_b: Floats
    mean_a: Floats
    mean_b: Floats
    variance_a: Floats
    variance_b: Floats
    pooled: Floats
    base: Floats
    base_variance: Floats
    covariance: Floats
    converters_a: Floats
    converters_b: Floats
    planned: Floats
    counts: Floats
    ratio: Floats
    quantile: Floats
    adjusted: Floats

    @property
    def difference(self) -> Floats:
        """μ_b − μ_a."""
        return self.mean_b - self.mean_a

    @property
    def n(self) -> Floats:
        """Units of the pair."""
        return self.n_a + self.n_b

    def take(self, places: NDArray[np.intp]) -> Pairs:
        """Return some of the pairs, in the order asked for."""
        return Pairs(**{field.name: getattr(self, field.name)[places] for field in fields(self)})


class Judged(NamedTuple):
    """What a method says, arrays with one entry a pair; NaN where the method has no such number.

    Attributes:
        estimate: μ_b − μ_a.
        critical: How many standard errors the interval extends.
        standard_error: Of the difference, as the method uses it.
        lower: Lower end of the interval of μ_b − μ_a.
        upper: Upper end.
        p_value: Two-sided; NaN for Bayesian methods.
        lifts: μ_b/μ_a − 1 and its interval.
        names: The convention, by name.
        chance_to_win: P(μ_b > μ_a), Bayesian only.
        loss: Expected loss of choosing b, Bayesian only.
        baseline_loss: Expected loss of keeping a, Bayesian only.
    """

    estimate: Floats
    critical: Floats
    standard_error: Floats
    lower: Floats
    upper: Floats
    p_value: Floats
    lifts: Lifts
    names: list[str]
    chance_to_win: Floats
    loss: Floats
    baseline_loss: Floats


class Place(NamedTuple):
    """Where a pair is found.

    Attributes:
        metric: Index of the metric's figures.
        a: Index of the baseline among its arms.
        b: Index of the arm.
    """

    metric: int
    a: int
    b: int


def pair_up(found: Sequence[Figures], places: Sequence[Place], planned: Floats) -> Pairs:
    """Lay out pairs of any metrics side by side.

    Args:
        found: Figures, one a metric.
        places: The pairs.
        planned: N* per pair.
    """
    first = np.cumsum([0, *(len(one.n) for one in found)])  # of each metric's arms among all arms of all metrics
    metric, at_a, at_b = np.array(places, int).reshape(-1, 3).T
    a, b = first[metric] + at_a, first[metric] + at_b
    n, total, mean, variance, base, base_variance, covariance, converters = (
        np.concatenate([getattr(one, name) for one in found]) for name in BY_ARM
    )
    units = np.maximum(n, 1.0)
    sampling, base_sampling = variance / units, base_variance / units
    families = np.array([one.family for one in found])[metric]
    adjusted = np.array([one.adjusted for one in found])[metric]
    rate = (total[a] + total[b]) / (units[a] + units[b])
    pooled = rate * (1 - rate) * (1 / units[a] + 1 / units[b])
    # What the covariates explain, they explain of the pooled variance too.
    own, raw = sampling[a] + sampling[b], base_sampling[a] + base_sampling[b]
    left = np.divide(own, raw, out=np.ones_like(own), where=adjusted & (raw > 0))
    return Pairs(
        n_a=n[a],
        n_b=n[b],
        total_a=total[a],
        total_b=total[b],
        mean_a=mean[a],
        mean_b=mean[b],
        variance_a=sampling[a],
        variance_b=sampling[b],
        pooled=np.where(families == "proportion", pooled * left, 0.0),
        base=base[a],
        base_variance=base_sampling[a],
        covariance=-covariance[a] / units[a],
        converters_a=converters[a],
        converters_b=converters[b],
        planned=planned,
        counts=((families == "proportion") & ~adjusted).astype(float),
        ratio=(families == "ratio").astype(float),
        quantile=(families == "quantile").astype(float),
        adjusted=adjusted.astype(float),
    )


def normal_answer(pairs: Pairs, variance: Floats, critical: Floats, p_value: Floats, names: list[str]) -> Judged:
    """Give the interval d ± critical·√variance its relative companion.

    Where `variance` exceeds the sampling variance (a pooled one does), the excess is laid on both arms in inverse
    proportion to their units, so that the relative interval excludes 0 exactly when the absolute one does.
    """
    error = np.sqrt(variance)
    excess = np.maximum(variance - pairs.variance_a - pairs.variance_b, 0.0) * pairs.n_b / np.maximum(pairs.n, 1.0)
    relation = Relation(
        pairs.difference, pairs.base, variance, pairs.base_variance + excess, pairs.covariance - excess
    )
    lifts = relative_lifts(relation, critical)
    none = [np.full(len(error), np.nan) for _ in range(3)]
    d, half = pairs.difference, critical * error
    return Judged(d, critical, error, d - half, d + half, p_value, lifts, names, *none)


def blank_answer(count: int) -> Judged:
    """Return an answer of NaN for `count` pairs: what `overlay` fills in."""
    a, b, c, d, e, f, g, h, i, j, k, m = (np.full(count, np.nan) for _ in range(12))
    return Judged(a, b, c, d, e, f, Lifts(g, h, i, np.full(count, "", object)), [""] * count, j, k, m)


def overlay(over: Judged, part: Judged, places: NDArray[np.intp]) -> None:
    """Put the answers of some pairs in their places among all."""
    for kept, new in (*zip(over, part, strict=True), *zip(over.lifts, part.lifts, strict=True)):
        if isinstance(kept, np.ndarray) and isinstance(new, np.ndarray):
            kept[places] = new
    for place, name in zip(places.tolist(), part.names, strict=True):
        over.names[place] = name


def monitored_variance(pairs: Pairs) -> Floats:
    """Return the larger of the unpooled and, for proportions, the pooled sampling variance of the difference.

    The unpooled one alone is far too small while the smaller arm has few conversions (statistics page: 25% error).
    """
    return np.maximum(pairs.variance_a + pairs.variance_b, pairs.pooled)


def pair_of(control: Moments, treatment: Moments, family: Family, planned: float = 1.0) -> Pairs:
    """Lay out a single pair given as moments."""
    row = CrossMoments.of_moments("value", {"a": control, "b": treatment})
    return pair_up([figures(row, Measure(family, "value"))], [Place(0, 0, 1)], np.array([planned]))


def single_effect(found: Judged) -> Effect:
    """Take the first pair's answer out of the arrays."""
    interval = Interval(float(found.lower[0]), float(found.upper[0]))
    error, estimate = float(found.standard_error[0]), float(found.estimate[0])
    return Effect(estimate, error, interval, float(found.p_value[0]), float(found.critical[0]), found.names[0])
