"""What the calibration slopes of many simulated shops say together: how far off values are, and what of it is chance.

One shop's slope carries the chance of who was held out, so how many of them lie near 1 says as much of the shops'
size as of the values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from optimizer.signals.answers import Calibration

ALPHA = 0.05
LEAST_SLOPE, MOST_SLOPE = 0.9, 1.1
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ShopCalibration:
    """One shop's held-out weeks.

    Attributes:
        slope: Of held-out values on predicted ones.
        standard_error: Of it.
        interval: Of it, at 95%.
        ratio: Held-out sum ÷ predicted sum.
        shared: Σ units·(predicted − mean)·(observed − mean) over events and sources.
        spread: Σ units·(predicted − mean)².
    """

    slope: float
    standard_error: float
    interval: Pair
    ratio: float
    shared: float
    spread: float


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Many shops' held-out weeks.

    Attributes:
        shops: With a slope.
        mean: Of their slopes.
        pooled: Slope of one line through all shops' events and sources, each shop around its own mean.
        pooled_interval: At 95%, shops being drawn anew; None of one.
        deviation: Standard deviation of slopes from shop to shop; None of one.
        own_error: Root mean square of their standard errors: what of it are the held-out people alone.
        inside: Share of shops with a slope from 0.9 to 1.1.
        surely_outside: Share whose slope's own interval lies wholly outside.
        ratio: Mean of held-out ÷ predicted value.
    """

    shops: int
    mean: float
    pooled: float
    pooled_interval: Pair | None
    deviation: float | None
    own_error: float
    inside: float
    surely_outside: float
    ratio: float


def calibration_of(found: Calibration | None) -> ShopCalibration | None:
    """Take a shop's slope, and what it takes to put shops together; None where there is none."""
    if found is None or found.slope is None or found.slope_interval is None or found.ratio is None:
        return None
    units, predicted, observed = np.array(
        [(point.units, point.predicted, point.observed) for point in found.points], float
    ).T
    away = predicted - np.average(predicted, weights=units)
    shared = float((units * away * (observed - np.average(observed, weights=units))).sum())
    spread = float((units * away**2).sum())
    return ShopCalibration(found.slope, found.slope_error or 0.0, found.slope_interval, found.ratio, shared, spread)


def put_together(shops: Sequence[ShopCalibration]) -> Calibrations | None:
    """Sum shops up; None of none.

    The pooled slope is a ratio of sums over independent shops, and has the ratio estimator's variance (Cochran 1977,
    §6.3).
    """
    if not shops:
        return None
    count = len(shops)
    slopes = np.array([shop.slope for shop in shops])
    shared, spread = (np.array([getattr(shop, name) for shop in shops]) for name in ("shared", "spread"))
    pooled, interval = float(shared.sum() / spread.sum()), None
    if count > 1:
        left = float(((shared - pooled * spread) ** 2).sum()) * count / (count - 1)
        half = float(-special.stdtrit(count - 1, ALPHA / 2)) * math.sqrt(left) / float(spread.sum())
        interval = (pooled - half, pooled + half)
    return Calibrations(
        shops=count,
        mean=float(slopes.mean()),
        pooled=pooled,
        pooled_interval=interval,
        deviation=float(slopes.std(ddof=1)) if count > 1 else None,
        own_error=math.sqrt(sum(shop.standard_error**2 for shop in shops) / count),
        inside=sum(LEAST_SLOPE <= slope <= MOST_SLOPE for slope in slopes) / count,
        surely_outside=sum(shop.interval[1] < LEAST_SLOPE or shop.interval[0] > MOST_SLOPE for shop in shops) / count,
        ratio=sum(shop.ratio for shop in shops) / count,
    )
