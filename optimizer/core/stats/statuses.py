"""What cannot be judged, and why: every degenerate input has a status and a sentence in place of numbers.

The two gates for monitoring are here too. Confidence sequences and group sequential boundaries are asymptotic; small
or unequal arms and heavy tails break them (statistics page: up to 25% error at a promised 5%).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.stats.design import Case
from optimizer.core.stats.effects import Floats
from optimizer.core.stats.figures import Figures
from optimizer.core.stats.pairs import Pairs, Place, pair_up
from optimizer.core.stats.sequential import CONVERTERS, EXPECTED_CONVERSIONS

MINIMUM_UNITS = 2
ROUNDING = 1e-12
SMALLEST = 1e-280
HAIR = 1e-9  # of a conversion: none more is needed for it
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
    """Say why two arms cannot be compared yet, or at all; None when they can. See `statuses_of`.

    Args:
        case: The metric.
        found: Its unadjusted figures.
        a: Index of the baseline.
        b: Index of the arm.
    """
    place = Place(0, a, b)
    return statuses_of([case], [place], pair_up([found], [place], np.ones(1)))[0]


def statuses_of(cases: Sequence[Case], places: Sequence[Place], pairs: Pairs) -> list[Status | None]:
    """Say of each pair why it cannot be compared yet, or at all; None when it can.

    Args:
        cases: The metrics.
        places: The pairs.
        pairs: Their unadjusted figures.
    """
    of = [cases[place.metric] for place in places]
    reasons = [
        *_not_there(of, places, pairs),
        *_not_known(pairs),
        *_not_ready(of, places, pairs),
        *_no_quantile(pairs),
    ]
    first = np.select([reason.where for reason in reasons], range(len(reasons)), -1).tolist()
    return [reasons[at].status(place) if at >= 0 else None for place, at in enumerate(first)]


class _Reason(NamedTuple):
    """One reason, and of which pairs it holds."""

    where: NDArray[np.bool_]
    name: str
    detail: str
    missing: Floats | None = None

    def status(self, place: int) -> Status:
        missing = 0 if self.missing is None else int(self.missing[place])
        return Status(self.name, self.detail.format(missing), missing)


def _not_there(of: Sequence[Case], places: Sequence[Place], pairs: Pairs) -> list[_Reason]:
    closed = [
        any(case.weights.get(case.row.arms[arm], 1.0) == 0 for arm in (place.a, place.b))
        for case, place in zip(of, places, strict=True)
    ]
    below = _column(of, places, [case.measure.denominator for case in of])
    large = np.isnan(pairs.total_a + pairs.total_b) | np.isnan(below).any(1)
    return [
        _Reason(np.array(closed, bool), "zero_weight", "An arm of weight 0 takes no part in the comparison."),
        _Reason(
            np.minimum(pairs.n_a, pairs.n_b) == 0,
            "empty",
            "An arm has no visitors yet, or none whose conversion window has passed.",
        ),
        _Reason(large, "too_large", TOO_LARGE),
    ]


def _not_known(pairs: Pairs) -> list[_Reason]:
    """Say what cannot be known, and what does not vary; of quantiles `_no_quantile` does."""
    ratio, counted = pairs.ratio > 0, pairs.counts > 0
    other = pairs.quantile == 0
    undefined = ratio & ~(np.isfinite(pairs.mean_a) & np.isfinite(pairs.mean_b))
    unknown = other & np.isnan(pairs.variance_a + pairs.variance_b)
    single = other & ~counted & (np.minimum(pairs.n_a, pairs.n_b) < MINIMUM_UNITS)
    rate = _rate(pairs)
    vary_a, vary_b = _vary(pairs)
    constant = other & ~np.where(counted, (rate > 0) & (rate < 1), vary_a | vary_b)
    return [
        _Reason(undefined, "no_denominator", "An arm's denominator is not above 0, so its ratio is undefined."),
        _Reason(unknown & ratio, "no_cross_products", "A ratio's variance needs Σx², Σy² and Σxy of both its parts."),
        _Reason(unknown, "no_sum_of_squares", "The variance cannot be known without the sum of squared values."),
        _Reason(single, "no_variance", "An arm has a single visitor; a variance needs two."),
        _Reason(constant, "no_variance", "Nothing varies: every visitor has the same value."),
    ]


def _not_ready(of: Sequence[Case], places: Sequence[Place], pairs: Pairs) -> list[_Reason]:
    """Say what a monitored test waits for."""
    designs = [case.design for case in of]
    unplanned = [design.method == "group_sequential" and design.planned_total is None for design in designs]
    monitored = np.array([design.method in MONITORED for design in designs], bool)
    rate, counted, quantile = _rate(pairs), pairs.counts > 0, pairs.quantile > 0
    likely = np.minimum(pairs.n_a, pairs.n_b) * np.minimum(rate, 1 - rate)
    conversions: Floats = np.ceil(EXPECTED_CONVERSIONS - likely - HAIR)
    with_value: Floats = CONVERTERS - np.rint(np.minimum(pairs.converters_a, pairs.converters_b))
    occurrences = _missing_at_the_tail(of, places, pairs)
    waits = (
        (counted, conversions, "more expected conversions in the smaller arm"),
        (~counted & ~quantile, with_value, "more visitors with a value in the smaller arm"),
        (quantile, occurrences, "more visitors with an occurrence in the smaller arm"),
    )
    plan = "A group sequential test spends its error rate over a planned size: none is given."
    return [
        _Reason(np.array(unplanned, bool), "no_plan", plan),
        *(
            _Reason(
                monitored & which & (missing > 0),
                "too_early",
                f"Too early for a verdict: {{}} {what} are needed.",
                missing,
            )
            for which, missing, what in waits
        ),
    ]


def _missing_at_the_tail(of: Sequence[Case], places: Sequence[Place], pairs: Pairs) -> Floats:
    """Return how many visitors with an occurrence are missing.

    For the gate of means, and beyond the quantile, where the share of occurrences is estimated, for that of
    proportions.
    """
    tails = _column(of, places, [case.measure.tail for case in of])
    known = np.column_stack([pairs.converters_a, pairs.converters_b])
    beyond = np.where(tails > 0, known * (EXPECTED_CONVERSIONS / np.where(tails > 0, tails, 1.0) - 1), 0.0)
    missing: Floats = np.maximum(CONVERTERS - np.rint(known), np.ceil(beyond - HAIR)).max(1)
    return missing


def _no_quantile(pairs: Pairs) -> list[_Reason]:
    quantile = pairs.quantile > 0
    vary_a, vary_b = _vary(pairs)
    return [
        _Reason(
            quantile & (np.minimum(pairs.converters_a, pairs.converters_b) == 0),
            "no_occurrences",
            "An arm has no occurrence with a value, so it has no quantile.",
        ),
        _Reason(
            quantile & np.isnan(pairs.variance_a + pairs.variance_b),
            "too_few",
            "An arm has too few visitors with an occurrence, or too few beyond the quantile, to tell its error.",
        ),
        _Reason(
            quantile & ~(vary_a & vary_b),
            "no_variance",
            "So many occurrences have the same value that the quantile's error cannot be told.",
        ),
    ]


def _rate(pairs: Pairs) -> Floats:
    rate: Floats = (pairs.total_a + pairs.total_b) / np.maximum(pairs.n, 1.0)
    return rate


def _vary(pairs: Pairs) -> list[NDArray[np.bool_]]:
    """Tell variances from the rounding of sums of squares, and from what no float can divide by."""
    arms = ((pairs.variance_a, pairs.mean_a, pairs.n_a), (pairs.variance_b, pairs.mean_b, pairs.n_b))
    return [
        (sampling > SMALLEST) & (n * sampling > ROUNDING * (n * sampling + mean**2)) for sampling, mean, n in arms
    ]


def _column(of: Sequence[Case], places: Sequence[Place], names: Sequence[str | None]) -> Floats:
    """Return a column's sums in both arms of each pair, shape (pairs, 2); 0 where no column is named."""
    found = np.zeros((len(of), 2))
    for place, (case, pair, name) in enumerate(zip(of, places, names, strict=True)):
        if name is not None:
            found[place] = case.row.totals[[pair.a, pair.b], case.row.place(name)]
    return found


def missing_units(case: Case) -> int:
    """Return how many of the planned visitors a fixed-horizon test still waits for."""
    if case.design.method != "fixed" or case.design.planned_total is None:
        return 0
    return max(0, round(case.design.planned_total) - round(float(case.row.n.sum())))
