"""What daily totals say about an event and the goal when it is not known who did both: bounds, and no more.

Of n visitors a did the event and g reached the goal, so between max(0, a + g − n) and min(a, g) did both (Fréchet
1951; Duncan and Davis 1953). Summed over days, sources and devices the bounds are tighter than over the totals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Bounds(NamedTuple):
    """Between what the truth lies; every value between is compatible with the totals.

    Attributes:
        rate_with: Of visitors with the event, the share that reached the goal.
        rate_without: Of the others.
        lift: Their ratio; its upper end is None where the others may not have reached it at all.
    """

    rate_with: tuple[float, float]
    rate_without: tuple[float, float]
    lift: tuple[float, float | None]


def bound_lift(visitors: Array, did: Array, converted: Array) -> Bounds | None:
    """Bound rates and lift from totals.

    Args:
        visitors: Per cell (day, source, device, …); shape (cells,).
        did: Of those, how many did the event.
        converted: Of those, how many reached the goal.

    Returns:
        None where nobody, or everybody, did the event, or nobody reached the goal.

    Raises:
        ValueError: A count is negative or above visitors.
    """
    if (did < 0).any() or (converted < 0).any() or (did > visitors).any() or (converted > visitors).any():
        raise ValueError("did and converted must lie between 0 and visitors")
    n, a, g = float(visitors.sum()), float(did.sum()), float(converted.sum())
    if not 0 < a < n or g == 0:
        return None
    least = float(np.maximum(0.0, did + converted - visitors).sum())
    most = float(np.minimum(did, converted).sum())
    with_, without = (least / a, most / a), ((g - most) / (n - a), (g - least) / (n - a))
    return Bounds(with_, without, (with_[0] / without[1] if without[1] else with_[0], _ratio(with_[1], without[0])))


def _ratio(upper: float, lower: float) -> float | None:
    return upper / lower if lower > 0 else None
