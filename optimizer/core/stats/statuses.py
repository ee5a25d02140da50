"""What cannot be judged, and why: every degenerate input has a status and a sentence in place of numbers.

The two gates for monitoring are here too. Confidence sequences and group sequential boundaries are asymptotic; small
or unequal arms and heavy tails break them (statistics page: up to 25% error at a promised 5%).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from optimizer.core.stats.design import Case
from optimizer.core.stats.figures import Figures
from optimizer.core.stats.sequential import CONVERTERS, EXPECTED_CONVERSIONS

MINIMUM_UNITS = 2
ROUNDING = 1e-12
SMALLEST = 1e-280
TOO_LARGE = (
    "An arm has a value that is too large to compute with, from before values were bounded; a cap on the metric "
    "would take it in."
)
MONITORED = ("sequential", "group_sequential")


class Status(NamedTuple):
    """Why a pair has no verdict.

    Attributes:
        name: too_early, not_final, empty, zero_weight, no_variance, no_sum_of_squares, no_cross_products,
            no_denominator, no_plan, no_occurrences, too_few, too_large.
        detail: One sentence.
        missing: How many units or conversions are missing, where waiting helps.
    """

    name: str
    detail: str
    missing: int = 0


def status_of(case: Case, found: Figures, a: int, b: int) -> Status | None:
    """Say why two arms cannot be compared yet, or at all; None when they can.

    Args:
        case: The metric.
        found: Its unadjusted figures.
        a: Index of the baseline.
        b: Index of the arm.
    """
    arms = case.row.arms
    if case.weights.get(arms[a], 1.0) == 0 or case.weights.get(arms[b], 1.0) == 0:
        return Status("zero_weight", "An arm of weight 0 takes no part in the comparison.")
    if min(found.n[a], found.n[b]) == 0:
        return Status("empty", "An arm has no visitors yet, or none whose conversion window has passed.")
    summed = [name for name in (case.measure.value, case.measure.denominator) if name is not None]
    if np.isnan(case.row.totals[[a, b]][:, [case.row.place(name) for name in summed]]).any():
        return Status("too_large", TOO_LARGE)
    if case.measure.family == "quantile":
        return _unready(case, found, a, b) or _undetermined(found, a, b)
    return _unknown(case, found, a, b) or _constant(case, found, a, b) or _unready(case, found, a, b)


def _unknown(case: Case, found: Figures, a: int, b: int) -> Status | None:
    family = case.measure.family
    if family == "ratio" and not (np.isfinite(found.mean[a]) and np.isfinite(found.mean[b])):
        return Status("no_denominator", "An arm's denominator is not above 0, so its ratio is undefined.")
    if not math.isnan(found.variance[a] + found.variance[b]):
        return None
    if family == "ratio":
        return Status("no_cross_products", "A ratio's variance needs Σx², Σy² and Σxy of both its parts.")
    return Status("no_sum_of_squares", "The variance cannot be known without the sum of squared values.")


def _constant(case: Case, found: Figures, a: int, b: int) -> Status | None:
    if case.measure.family == "proportion":
        rate = (found.total[a] + found.total[b]) / (found.n[a] + found.n[b])
        varies = 0 < rate < 1
    elif min(found.n[a], found.n[b]) < MINIMUM_UNITS:
        return Status("no_variance", "An arm has a single visitor; a variance needs two.")
    else:
        varies = any(
            _varies(float(found.variance[arm]), float(found.mean[arm]), float(found.n[arm])) for arm in (a, b)
        )
    return None if varies else Status("no_variance", "Nothing varies: every visitor has the same value.")


def _varies(variance: float, mean: float, n: float) -> bool:
    """Tell a variance from the rounding of sums of squares, and from what no float can divide by."""
    return variance > ROUNDING * (variance + mean**2) and variance / n > SMALLEST


def _unready(case: Case, found: Figures, a: int, b: int) -> Status | None:
    design = case.design
    if design.method == "group_sequential" and design.planned_total is None:
        return Status("no_plan", "A group sequential test spends its error rate over a planned size: none is given.")
    if design.method not in MONITORED:
        return None
    if case.measure.family == "quantile":
        missing, what = _missing_at_the_tail(case, found, a, b), "more visitors with an occurrence in the smaller arm"
    elif case.measure.family == "proportion":
        rate = float(found.total[a] + found.total[b]) / float(found.n[a] + found.n[b])
        expected = float(min(found.n[a], found.n[b])) * min(rate, 1 - rate)
        missing = math.ceil(EXPECTED_CONVERSIONS - expected - 1e-9)
        what = "more expected conversions in the smaller arm"
    else:
        missing = CONVERTERS - round(float(min(found.converters[a], found.converters[b])))
        what = "more visitors with a value in the smaller arm"
    if missing <= 0:
        return None
    return Status("too_early", f"Too early for a verdict: {missing} {what} are needed.", missing)


def _missing_at_the_tail(case: Case, found: Figures, a: int, b: int) -> int:
    """Return how many visitors with an occurrence are missing.

    For the gate of means, and beyond the quantile, where the share of occurrences is estimated, for that of
    proportions.
    """
    tails = case.row.totals[:, case.row.place(case.measure.tail or case.measure.value)]
    missing = 0
    for arm in (a, b):
        known, tail = float(found.converters[arm]), float(tails[arm])
        beyond = known * (EXPECTED_CONVERSIONS / tail - 1) if tail > 0 else 0.0
        missing = max(missing, CONVERTERS - round(known), math.ceil(beyond - 1e-9))
    return missing


def _undetermined(found: Figures, a: int, b: int) -> Status | None:
    if min(found.converters[a], found.converters[b]) == 0:
        return Status("no_occurrences", "An arm has no occurrence with a value, so it has no quantile.")
    if math.isnan(found.variance[a] + found.variance[b]):
        detail = "An arm has too few visitors with an occurrence, or too few beyond the quantile, to tell its error."
        return Status("too_few", detail)
    if not all(_varies(float(found.variance[arm]), float(found.mean[arm]), float(found.n[arm])) for arm in (a, b)):
        detail = "So many occurrences have the same value that the quantile's error cannot be told."
        return Status("no_variance", detail)
    return None


def missing_units(case: Case) -> int:
    """Return how many of the planned visitors a fixed-horizon test still waits for."""
    if case.design.method != "fixed" or case.design.planned_total is None:
        return 0
    return max(0, round(case.design.planned_total) - round(float(case.row.n.sum())))
