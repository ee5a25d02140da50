"""What the intervals of simulated shops ought to cover: lifts in shops so large that their own error hardly matters.

One large shop will not do. With 400 000 visitors the logarithm of its lift still has a standard error of .012, a
sixth of that of a shop of 10 000: two of those off take points off the coverage of intervals that are right. So the
logarithms of several are averaged, and the error that is left is told.

An artefact does nothing, and yet those who did it and those who did not, alike in all that is stratified by, need not
buy equally often: a lift is a comparison, and an interval is right if it holds what that comparison comes to. So
artefacts are measured, too, and whether intervals hold 1 is asked beside.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from optimizer.cli._recovery import rank_shop
from optimizer.core.signals.fourfold import ALPHA
from optimizer.sandbox.shop import ShopDesign, simulate_shop
from optimizer.sandbox.shop_truth import TRUTH, Kind

FIRST_SEED = 1_000_000  # none of them is among the small ones
MEASURED: tuple[Kind, ...] = ("cause", "correlate", "duplicate", "simpson", "artefact")
BAND = 0.99


@dataclass(frozen=True, slots=True)
class Reference:
    """One event's lift.

    Attributes:
        lift: Geometric mean over the large shops.
        standard_error: Of its logarithm, from how much those shops differ; None of one.
    """

    lift: float
    standard_error: float | None


def large_lifts(
    design: ShopDesign, visitors: int, shops: int, advance: Callable[[], None] = lambda: None
) -> dict[str, Reference]:
    """Measure the lifts of all events of which it is not known that they are 1 (those of noise are).

    Args:
        design: Of the small shops.
        visitors: Of each large one.
        shops: How many large ones.
        advance: Called after each.
    """
    large, found = dataclasses.replace(design, visitors=visitors), defaultdict(list)
    names = {event.name for event in TRUTH if event.kind in MEASURED}
    for number in range(shops):
        for signal in rank_shop(simulate_shop(large, FIRST_SEED + number), large).signals:
            if signal.event in names and signal.lift:
                found[signal.event].append(math.log(signal.lift))
        advance()
    return {
        event: Reference(
            math.exp(np.mean(logs)), float(np.std(logs, ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else None
        )
        for event, logs in sorted(found.items())
    }


def coverage_band(intervals: int, level: float = BAND) -> tuple[float, float]:
    """Return between what the share that holds lies in 99% of cases, of so many intervals that hold with 95%."""
    low, high = scipy.stats.binom.interval(level, intervals, 1 - ALPHA)
    return float(low) / intervals, float(high) / intervals
