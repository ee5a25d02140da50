"""How arms are compared: what is fixed before the first look, and how a method turns pairs into answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from optimizer.core.stats.bayes import FLAT, Prior, judge_by_belief
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.effects import Floats
from optimizer.core.stats.figures import Family, Measure
from optimizer.core.stats.group_sequential import Spending, judge_group_sequentially
from optimizer.core.stats.means import judge_means
from optimizer.core.stats.pairs import Judged, Pairs, blank_answer, overlay
from optimizer.core.stats.proportions import judge_proportions
from optimizer.core.stats.sequential import judge_sequentially

Method = Literal["fixed", "sequential", "group_sequential", "bayesian"]


@dataclass(frozen=True, slots=True)
class Design:
    """How arms are compared.

    Attributes:
        method: ``fixed`` (one look at the planned size), ``sequential`` (any number of looks), ``group_sequential``
            (a few looks, each spending part of α) or ``bayesian``.
        alpha: Two-sided error rate.
        planned_total: Planned visitors over all open arms; None means the analyst vouches for it being the end.
        family: ``proportion`` for 0/1 metrics, else ``mean``; a case that carries a measure takes the measure's.
        pooled: Use the pooled standard error for the p-values of fixed-horizon proportions.
        looks: Group sequential: information at each look so far as a share of the plan, this one included; empty
            means that this is the only one.
        spending: Group sequential: how α is spent.
        prior: Bayesian: what was believed before.
    """

    method: Method
    alpha: float
    planned_total: float | None
    family: Family = "proportion"
    pooled: bool = False
    looks: tuple[float, ...] = ()
    spending: Spending = "obrien_fleming"
    prior: Prior = FLAT


@dataclass(frozen=True, slots=True)
class Case:
    """One metric to compare: sums over units, which of them make up the metric, and the design.

    Attributes:
        row: Sums per arm.
        measure: The metric's columns; covariates make the figures adjusted, with the unadjusted ones beside.
        design: How to compare.
        weights: Share of traffic per arm, in any scale; 0 closes an arm, an arm that is not named has 1.
    """

    row: CrossMoments
    measure: Measure
    design: Design
    weights: Mapping[str, float]


def judge(pairs: Pairs, alpha: Floats, design: Design) -> Judged:
    """Compare pairs by the design's method.

    Args:
        pairs: Usable pairs of any families.
        alpha: Per pair, level of its interval is 1 − alpha.
        design: The method and its options; `planned_total` and `family` are already in the pairs.
    """
    if design.method == "sequential":
        return judge_sequentially(pairs, alpha, design.alpha)
    if design.method == "bayesian":
        return judge_by_belief(pairs, alpha, design.prior)
    if design.method == "group_sequential":
        return _judge_looks(pairs, alpha, design)
    found = blank_answer(len(alpha))
    counted = pairs.counts > 0
    for places, exact in ((np.flatnonzero(counted), True), (np.flatnonzero(~counted), False)):
        if len(places):
            part = pairs.take(places)
            if exact:
                answer = judge_proportions(part, alpha[places], pooled=design.pooled)
            else:
                answer = judge_means(part, alpha[places])
            overlay(found, answer, places)
    return found


def _judge_looks(pairs: Pairs, alpha: Floats, design: Design) -> Judged:
    if design.looks:
        return judge_group_sequentially(pairs, alpha, design.looks, design.spending)
    # Without a history of looks, each pair's own share of its plan is the only look.
    found = blank_answer(len(alpha))
    fractions = np.minimum(pairs.n / pairs.planned, 1.0)
    for fraction in np.unique(fractions):
        places = np.flatnonzero(fractions == fraction)
        part = pairs.take(places)
        overlay(found, judge_group_sequentially(part, alpha[places], (float(fraction),), design.spending), places)
    return found
