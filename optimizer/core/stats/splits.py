"""Many random splits of the same units from sums over a few thousand buckets, and how often they raise a false alarm.

Every unit has k random bits, so it lies in one of 2^k buckets. The parity of any choice of these bits is one fair
coin a unit: a split that tosses for each unit on its own, exactly as an experiment does, and any two of the 2^k − 1
splits are independent of each other. Sums over buckets give the sums of all splits by a Walsh-Hadamard transform,
without another look at the units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy

from optimizer.core.stats.effects import Floats

LEVEL = 0.95  # of the interval of a rate


class AlarmRate(NamedTuple):
    """How often splits of units that were treated alike were called different.

    Attributes:
        alarms: Splits with a false alarm.
        splits: Splits that had a verdict.
        rate: alarms ÷ splits.
        interval: Clopper-Pearson, 95%.
        p_value: Chance of so many alarms or more if the promise holds (binomial).
    """

    alarms: int
    splits: int
    rate: float
    interval: tuple[float, float]
    p_value: float


def second_arms(sums: Floats) -> Floats:
    """Return the sums over the second arm of every split.

    Args:
        sums: Sums over the units of each bucket; the first axis has 2^k buckets, k of at least 1.

    Returns:
        Same shape but 2^k − 1 along the first axis: entry s − 1 holds the buckets whose bits have an odd number in
        common with s. What is left of the total is the first arm.

    Raises:
        ValueError: The number of buckets is not a power of two above 1.
    """
    count = len(sums)
    if count < 2 or count & (count - 1):  # noqa: PLR2004 - one bucket cannot be split
        raise ValueError("sums must have a power of two of buckets, 2 or more")
    turned = np.asarray(sums, float).reshape(count, -1)
    half = 1
    while half < count:
        pairs = turned.reshape(count // (2 * half), 2, half, -1)
        turned = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(count, -1)
        half *= 2
    found: Floats = ((turned[0] - turned[1:]) / 2).reshape(count - 1, *sums.shape[1:])
    return found


def alarm_rate(alarms: int, splits: int, promised: float) -> AlarmRate:
    """Hold a number of false alarms against what was promised.

    Raises:
        ValueError: There are no splits, or more alarms than splits.
    """
    if not 0 <= alarms <= splits or splits < 1:
        raise ValueError("alarms must lie between 0 and splits, and splits be 1 or more")
    found = scipy.stats.binomtest(alarms, splits, promised, alternative="greater")
    low, high = scipy.stats.binomtest(alarms, splits).proportion_ci(LEVEL, method="exact")
    return AlarmRate(alarms, splits, alarms / splits, (float(low), float(high)), float(found.pvalue))
