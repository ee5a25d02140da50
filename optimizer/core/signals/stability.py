"""Does a lift hold from week to week, and in every source and on every device?

Two failures matter. Drift: what predicted in spring may not in autumn, because the page or the tracker changed.
Reversal: a lift over all visitors can come from who did the event rather than from the event, and turn around within
every source (Simpson 1951).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from optimizer.core.signals.strata import LogRatio, Strata, log_risk_ratio
from optimizer.core.stats.effects import Interval

MINIMUM_CONVERTERS = 10  # below that a slice's own lift is noise, and its normal interval too short
FLAG_ALPHA = 0.01
MATERIAL_CHANGE = 1.25


Turn = Literal["reversed", "hidden", "explained", "opposed"]


@dataclass(frozen=True, slots=True)
class Slice:
    """One week, source or device.

    Attributes:
        label: Which.
        converted: Converters in it.
        lift: Its own lift and interval; None below 10 converters.
        lift_interval: At 95%.
    """

    label: str
    converted: int
    lift: float | None
    lift_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Drift:
    """How the lift moves over weeks.

    Attributes:
        change: By what the fitted lift is multiplied from the first week to the last; None with fewer than 3 weeks.
        p_value: Of a trend in ln(lift), weighted by precision.
        heterogeneity_p_value: Of Cochran's Q over weeks: it may jump rather than drift.
        i_squared: Share of the variation that is not chance (Higgins and Thompson 2002).
        flagged: p < .01 of the trend and a change beyond 1.25-fold, or p < .01 of Q with most of it not chance.
    """

    change: float | None
    p_value: float | None
    heterogeneity_p_value: float | None
    i_squared: float | None
    flagged: bool


@dataclass(frozen=True, slots=True)
class Reversal:
    """A lift that comes from, or is covered up by, who did the event (Simpson 1951).

    Attributes:
        dimension: source, device, ….
        kind: reversed: it turns around within the dimension. hidden: it is stronger there than over everybody.
            explained: it is weaker there. opposed: groups lie surely on opposite sides of 1.
        overall: Lift without regard to the dimension.
        within: Lift among those alike in it too.
        within_interval: At 99%.
        opposed: Labels of groups whose own lifts lie surely on opposite sides of 1; empty when none do.
    """

    dimension: str
    kind: Turn
    overall: float
    within: float
    within_interval: Interval
    opposed: tuple[str, ...]


def slices(parts: Mapping[str, Strata]) -> list[Slice]:
    """Take each part's own lift."""
    found = []
    for label, part in parts.items():
        ratio = _ratio(part)
        found.append(
            Slice(
                label,
                _converted(part),
                math.exp(ratio.estimate) if ratio else None,
                ratio.interval() if ratio else None,
            )
        )
    return found


def drift(weeks: Sequence[Strata]) -> Drift:
    """Test whether the lift moves over weeks, oldest first."""
    ratios = [(place, ratio) for place, week in enumerate(weeks) if (ratio := _ratio(week)) is not None]
    if len(ratios) < 2:  # noqa: PLR2004 - nothing to compare
        return Drift(None, None, None, None, flagged=False)
    at = np.array([place for place, _ in ratios], float)
    lifts = np.array([ratio.estimate for _, ratio in ratios])
    weights = np.array([1 / ratio.standard_error**2 for _, ratio in ratios])
    mean = float((weights * lifts).sum() / weights.sum())
    q, freedom = float((weights * (lifts - mean) ** 2).sum()), len(ratios) - 1
    heterogeneity = float(special.chdtrc(freedom, q))
    i_squared = max(0.0, 1 - freedom / q) if q > 0 else 0.0
    jumps = heterogeneity < FLAG_ALPHA and i_squared > 0.5  # noqa: PLR2004 - most of it
    if len(ratios) < 3:  # noqa: PLR2004 - two points are always on a line
        return Drift(None, None, heterogeneity, i_squared, flagged=jumps)
    centred = at - float((weights * at).sum() / weights.sum())
    spread = float((weights * centred**2).sum())
    slope = float((weights * centred * lifts).sum()) / spread
    p_value = float(2 * special.ndtr(-abs(slope) * math.sqrt(spread)))
    change = math.exp(max(-50.0, min(50.0, slope * (at[-1] - at[0]))))
    moves = p_value < FLAG_ALPHA and max(change, 1 / change) > MATERIAL_CHANGE
    return Drift(change, p_value, heterogeneity, i_squared, flagged=moves or jumps)


def reversal(dimension: str, overall: Strata, within: Strata, groups: Mapping[str, Strata]) -> Reversal | None:
    """Look for a lift that turns, or changes much, within a dimension.

    Args:
        dimension: Its name, for the answer.
        overall: The tables without regard to it.
        within: The tables also split by it.
        groups: The tables of each of its values.

    Returns:
        What turned; None where nothing surely did. Two things are looked for: a lift outside the 99% interval of the
        lift within, and 1.25-fold from it; and groups surely (1%, shared among them) on opposite sides of 1.
    """
    whole, inner = _ratio(overall), _ratio(within)
    if whole is None or inner is None:
        return None
    interval = inner.interval(FLAG_ALPHA)
    ratios = {label: ratio for label, part in groups.items() if (ratio := _ratio(part)) is not None}
    alpha = FLAG_ALPHA / max(1, len(ratios))
    above = [label for label, ratio in ratios.items() if ratio.interval(alpha).lower > 1]
    below = [label for label, ratio in ratios.items() if ratio.interval(alpha).upper < 1]
    opposed = (*above, *below) if above and below else ()
    lift = math.exp(whole.estimate)
    outside = not interval.lower <= lift <= interval.upper
    turned = outside and abs(whole.estimate - inner.estimate) > math.log(MATERIAL_CHANGE)
    if not turned and not opposed:
        return None
    return Reversal(dimension, _kind(whole, inner, opposed), lift, math.exp(inner.estimate), interval, opposed)


def _kind(whole: LogRatio, inner: LogRatio, opposed: Sequence[str]) -> Turn:
    if opposed:
        return "opposed"
    if whole.estimate * inner.estimate < 0 and abs(inner.estimate) > math.log(MATERIAL_CHANGE):
        return "reversed"
    return "hidden" if abs(inner.estimate) > abs(whole.estimate) else "explained"


def _ratio(part: Strata) -> LogRatio | None:
    return log_risk_ratio(part) if _converted(part) >= MINIMUM_CONVERTERS else None


def _converted(part: Strata) -> int:
    return int(part.converted_with.sum() + part.converted_without.sum())
