"""Does the effect hold still? Detectors over days, each day a disjoint set of newly exposed units.

They warn and never decide: an effect that fades (novelty), one that depends on the day of the week, and a pooled
figure that a change of allocation has turned into something else (Simpson's paradox). Every sentence names numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.effects import Floats
from optimizer.core.stats.figures import Measure, figures
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.words import p_words, signed

WARN_BELOW = 0.01
FEWEST_DAYS = 5
DAYS_PER_WEEK = 7


class Day(NamedTuple):
    """One day's newly exposed units, with everything they did in their window.

    Attributes:
        weekday: 0 to 6.
        control: Moments of the control's units.
        treatment: Moments of the treatment's units.
    """

    weekday: int
    control: Moments
    treatment: Moments


class Drift(NamedTuple):
    """What a detector found.

    Attributes:
        found: Whether to warn.
        p_value: That the effect holds still; 1 when it cannot be told.
        detail: One sentence with its numbers.
    """

    found: bool
    p_value: float
    detail: str


def days_of(rows: Sequence[tuple[int, CrossMoments]], measure: Measure, control: str, treatment: str) -> list[Day]:
    """Describe every day of a metric; of a ratio, each day's own, with the delta method's variance.

    Args:
        rows: Weekday and sums of each day, in order.
        measure: The metric's columns.
        control: Name of the control.
        treatment: Name of the arm compared with it.
    """
    if measure.family == "ratio":
        return [Day(day, *(_as_moments(row, measure, arm) for arm in (control, treatment))) for day, row in rows]
    known = [(day, row) for day, row in rows if np.isfinite(row.totals[:, row.place(measure.value)]).all()]
    return [Day(day, *(row.moments(arm, measure.value) for arm in (control, treatment))) for day, row in known]


def linear_days(
    rows: Sequence[tuple[int, CrossMoments]], measure: Measure, control: str, treatment: str
) -> list[Day]:
    """Describe every day of a ratio by (M − R·D)/μ_D of each unit, R and μ_D those of all days and both arms.

    The difference of its means is to first order that of the ratios, and unlike ratios it adds up over days.

    Source:
        Budylin, Drutsa, Katsev, Tsoy, "Consistent transformation of ratio metrics for efficient online controlled
        experiments" (2018).
    """
    if measure.denominator is None:
        return days_of(rows, measure, control, treatment)
    names = [measure.value, measure.denominator]
    parts = [(day, row.select(names), [row.arms.index(arm) for arm in (control, treatment)]) for day, row in rows]
    n = sum(float(row.n[arms].sum()) for _, row, arms in parts)
    above, below = (sum(float(row.totals[arms, place].sum()) for _, row, arms in parts) for place in (0, 1))
    if not (below > 0 and math.isfinite(above)):
        return []
    weights = np.array([1.0, -above / below]) * n / below
    return [
        Day(
            day,
            *(_moments(row.n[arm], weights @ row.totals[arm], weights @ row.products[arm] @ weights) for arm in arms),
        )
        for day, row, arms in parts
    ]


def novelty(days: Sequence[Day], *, relative: bool = False) -> Drift:
    """Look for an effect that fades or grows: a weighted straight line through the daily effects.

    Args:
        days: In order since the start.
        relative: Take each day's effect as a share of that day's mean over both arms. For numbers that units of
            earlier days have had more time to gather: there a steady effect is steady only relatively.
    """
    effects, variances, places = _daily(days)
    if relative:
        effects, variances, places = _as_shares(days, effects, variances, places)
    if len(effects) < FEWEST_DAYS:
        return Drift(found=False, p_value=1.0, detail=f"Novelty: fewer than {FEWEST_DAYS} days with a variance.")
    weight = 1 / variances
    position = places.astype(float)
    centre = (weight * position).sum() / weight.sum()
    spread = (weight * (position - centre) ** 2).sum()
    slope = float((weight * (position - centre) * effects).sum() / spread)
    p_value = float(2 * special.ndtr(-abs(slope) * math.sqrt(spread)))
    level = float((weight * effects).sum() / weight.sum())
    first, last = (level + slope * (day - centre) for day in (position[0], position[-1]))
    way = "fades" if abs(last) < abs(first) else "grows"
    shown = [signed(end, "+.1%") if relative else signed(end) for end in (first, last)]
    detail = f"The effect {way} from {shown[0]} on the first day to {shown[1]} on the last ({p_words(p_value)})."
    found = p_value < WARN_BELOW
    return Drift(found, p_value, detail if found else f"No trend in the daily effects ({p_words(p_value)}).")


def weekday_dependence(days: Sequence[Day]) -> Drift:
    """Look for an effect that differs between days of the week (Cochran's Q over weekdays).

    Args:
        days: In any order.
    """
    effects, variances, places = _daily(days)
    weekdays = np.array([days[place].weekday for place in places], int)
    weight = 1 / variances
    mass = np.bincount(weekdays, weight, DAYS_PER_WEEK)
    pooled = np.bincount(weekdays, weight * effects, DAYS_PER_WEEK)
    there = mass > 0
    if there.sum() <= 1 or len(effects) < DAYS_PER_WEEK:
        return Drift(found=False, p_value=1.0, detail="Day of the week: less than a week of days with a variance.")
    means, mass = pooled[there] / mass[there], mass[there]
    centre = (mass * means).sum() / mass.sum()
    p_value = float(special.chdtrc(len(means) - 1, (mass * (means - centre) ** 2).sum()))
    low, high = float(means.min()), float(means.max())
    span = f"from {signed(low)} to {signed(high)} ({p_words(p_value)})"
    detail = f"The effect differs by day of the week, {span}: use whole weeks."
    found = p_value < WARN_BELOW
    return Drift(found, p_value, detail if found else f"No difference between days of the week ({p_words(p_value)}).")


def ramp(days: Sequence[Day]) -> Drift:
    """Look for a pooled effect that a change of allocation has biased.

    When the share of the treatment changes between days of different levels, the pooled difference mixes levels
    (Simpson's paradox); the difference within days does not. A warning needs both: shares that changed, and a pooled
    effect further from the within-day one than a standard error.

    Args:
        days: In any order.

    Source:
        Crook, Frasca, Kohavi, Longbotham, "Seven pitfalls to avoid when running controlled experiments on the web"
        (2009), pitfall 4.
    """
    effects, variances, places = _daily(days)
    if len(effects) <= 1:
        return Drift(found=False, p_value=1.0, detail="Ramp: fewer than two days with a variance.")
    used = [days[place] for place in places]
    n_a, n_b = (np.array([float(getattr(day, arm).n) for day in used]) for arm in ("control", "treatment"))
    share, whole = n_b.sum() / (n_a + n_b).sum(), n_a + n_b
    statistic = ((n_b - whole * share) ** 2 / (whole * share * (1 - share))).sum()
    p_value = float(special.chdtrc(len(used) - 1, statistic))
    totals = [sum(getattr(day, arm).total for day in used) for arm in ("control", "treatment")]
    pooled = float(totals[1] / n_b.sum() - totals[0] / n_a.sum())
    weight = whole / whole.sum()  # the within-day effect on the units as they came
    within, error = float((weight * effects).sum()), math.sqrt(float((weight**2 * variances).sum()))
    found = p_value < WARN_BELOW and abs(pooled - within) > error
    detail = (
        f"The split changed over days: pooled, the effect is {signed(pooled)}; within days it is {signed(within)} "
        f"(standard error {error:.2g}). Trust the second."
        if found
        else f"Changes of the split do not move the effect (pooled {signed(pooled)}, within days {signed(within)})."
    )
    return Drift(found, p_value, detail)


def _as_moments(row: CrossMoments, measure: Measure, arm: str) -> Moments:
    """Write a ratio as moments with its mean and its variance of one unit."""
    found, place = figures(row, measure, adjusted=False), row.arms.index(arm)
    n, mean, variance = (float(array[place]) for array in (found.n, found.mean, found.variance))
    return _moments(n, n * mean, (n - 1) * variance + n * mean**2)


def _moments(n: float, total: float, squares: float) -> Moments:
    known = math.isfinite(total) and math.isfinite(squares)
    return Moments(round(n), total, max(squares, total**2 / n)) if known and n else Moments(round(n), 0.0, None)


def _daily(days: Sequence[Day]) -> tuple[Floats, Floats, np.ndarray]:
    """Return effects, their sampling variances and the places of the days that have both."""
    rows = []
    for place, day in enumerate(days):
        arms = (day.control, day.treatment)
        if all(arm.n > 1 and arm.squares is not None for arm in arms):
            variance = sum(arm.variance / arm.n for arm in arms)
            if variance > 0:
                rows.append((arms[1].mean - arms[0].mean, variance, place))
    found = np.array(rows, float).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2].astype(int)


def _as_shares(
    days: Sequence[Day], effects: Floats, variances: Floats, places: np.ndarray
) -> tuple[Floats, Floats, np.ndarray]:
    arms = [(days[place].control, days[place].treatment) for place in places]
    means = np.array([(a.total + b.total) / (a.n + b.n) for a, b in arms], float)
    some = means > 0
    means = means[some]
    return effects[some] / means, variances[some] / means**2, places[some]
