"""How an estimate and its interval grew, by day of first exposure: from sums that one scan gave anyway.

Each point holds the units first exposed up to the end of one day, by what is known at the cut-off. Of a metric with a
window that is what a look at that time (and the window later) would have said.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import add

from optimizer.core.stats.comparison import Case, Comparison, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.experiments.answers import SeriesPoint

LONGEST = 400  # days; older ones are left out of a longer experiment's series


def effect_by_day(case: Case, days: Mapping[dt.date, CrossMoments]) -> list[SeriesPoint]:
    """Compare the units of all days up to each day.

    Args:
        case: The metric, its design and the sums of all days.
        days: Sums per day.
    """
    ordered = sorted(days)
    grown = list(accumulate((days[day] for day in ordered), add))[-LONGEST:]
    ordered = ordered[-LONGEST:]
    # Each point is the figure as it stood, so its plan is not missed by it: a fixed test's points are no verdicts.
    cases = [replace(case, row=row) for row in grown]
    found = compare_cases(cases, case.row.arms[0], _as_they_are)
    return [
        _point(day, row, comparison)
        for day, row, comparisons in zip(ordered, grown, found, strict=True)
        for comparison in comparisons
    ]


def _as_they_are(p_values: Sequence[float]) -> list[float]:
    return list(p_values)


def _point(day: dt.date, row: CrossMoments, found: Comparison) -> SeriesPoint:
    pair = [row.arms.index(found.baseline), row.arms.index(found.variant)]
    return SeriesPoint(
        through=day,
        variant=found.variant,
        units=round(float(row.n[pair].sum())),
        status=found.status,
        absolute=found.absolute,
        absolute_interval=found.absolute_interval,
        relative=found.relative,
        relative_interval=found.relative_interval,
    )
