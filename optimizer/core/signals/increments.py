"""What one event adds to what is known without it, and which of several that say the same is kept.

Dropping each event from a model that holds all others would find that none of three names for one intent adds
anything, and lose the intent. So events are taken up one by one, the most telling first, for as long as one adds
something surely and still most of what it says alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

SURELY = 0.05
REDUNDANT_SHARE = 0.4  # of what it says alone; below that it mostly repeats what is already taken up


@dataclass(frozen=True, slots=True)
class Gain:
    """An improvement of a model by one event, out of fold.

    Attributes:
        log_loss: Fall of the mean log-loss, in bits per unit (or person-period) at risk; negative when it got worse.
        lower: One-sided 95% lower bound, from shards that share no unit.
        auc: Rise of the area under the ROC curve.
    """

    log_loss: float
    lower: float
    auc: float


@dataclass(frozen=True, slots=True)
class Increment:
    """What an event adds.

    Attributes:
        alone: To activity, recency, source and device only.
        beyond: To those and the events taken up (without itself).
        taken_up: It is one of those that say something of their own.
        covered_by: The event that says what this one says; None when it was taken up, says nothing, or says most of
            it beyond those all the same.
    """

    alone: Gain
    beyond: Gain
    taken_up: bool
    covered_by: str | None


def lower_bound(
    per_shard: Sequence[float] | NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Return a weighted mean and its one-sided 95% lower bound (Student's t over shards).

    Args:
        per_shard: Mean gain in each shard.
        weights: Units in each shard.
    """
    gains = np.asarray(per_shard, float)
    used = weights > 0
    gains, shares = gains[used], weights[used] / weights[used].sum()
    mean = float((shares * gains).sum())
    if len(gains) < 2:  # noqa: PLR2004 - no spread from one shard
        return mean, -math.inf
    freedom = len(gains) - 1
    variance = float((shares**2 * (gains - mean) ** 2).sum()) * len(gains) / freedom
    return mean, mean + float(special.stdtrit(freedom, SURELY)) * math.sqrt(variance)


def is_worth_taking_up(beyond: Gain, alone: Gain) -> bool:
    """Return whether an event adds something surely, and most of what it says alone."""
    return beyond.lower > 0 and beyond.log_loss >= REDUNDANT_SHARE * alone.log_loss


def is_redundant(beyond: Gain, alone: Gain) -> bool:
    """Return whether others say most of what an event surely says alone.

    One that keeps most of it, though no longer surely, is not said by others: it merely is not proven beside them.
    """
    return alone.lower > 0 and beyond.log_loss < REDUNDANT_SHARE * alone.log_loss


def weighted_auc(score: NDArray[np.float64], units: NDArray[np.float64], converts: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve from aggregated rows, ties counted half.

    Args:
        score: Of each row.
        units: How many the row stands for.
        converts: Of those, how many convert.

    Returns:
        0.5 where all or none convert.
    """
    _, place = np.unique(score, return_inverse=True)
    hits = np.bincount(place, converts)
    misses = np.bincount(place, units - converts)
    pairs = float(hits.sum() * misses.sum())
    if pairs <= 0:
        return 0.5
    below = np.cumsum(misses) - misses
    return float((hits * (below + misses / 2)).sum()) / pairs
