"""When a monitored test will probably stop: its power over all looks, its expected size and the 90th percentile.

Confidence sequences are simulated, group sequential designs are integrated exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optimizer.core.stats.effects import Floats
from optimizer.core.stats.group_sequential import Spending, boundaries, crossing
from optimizer.core.stats.sequential import critical_values, tuned
from optimizer.core.stats.targets import Target

LOOKS = 100


class Stopping(NamedTuple):
    """What monitoring a plan leads to.

    Attributes:
        power: Chance of a verdict by the planned size.
        expected_units: Mean total at which the test stops (at the plan when it found nothing).
        p90_units: 90th percentile of that total.
    """

    power: float
    expected_units: float
    p90_units: float


def sequential_stopping(
    of: Target,
    total: float,
    alpha: float,
    rng: np.random.Generator,
    *,
    runs: int = 4_000,
    looks: int = LOOKS,
    ready_from: float = 0.0,
) -> Stopping:
    """Simulate a confidence sequence tuned to a total, over equally spaced looks, by the normal limit.

    Args:
        of: The true effect.
        total: Planned units over all arms.
        alpha: Two-sided error rate.
        rng: Source of randomness.
        runs: Simulated tests.
        looks: Looks up to the plan.
        ready_from: Units over all arms before which the gates of monitoring give no verdict.

    Raises:
        ValueError: total is not positive.
    """
    if total <= 0:
        raise ValueError("total must be positive")
    sizes = total * np.arange(1, looks + 1) / looks
    pair = sizes * of.pair_share
    critical = critical_values(pair, np.array(alpha), tuned(alpha, np.array(total * of.pair_share)))
    bound = critical * np.sqrt(max(of.variance, of.null_variance) / sizes)
    noise = rng.normal(0.0, np.sqrt(of.variance * total / looks), (runs, looks)).cumsum(1)
    crossed = (np.abs(of.effect + noise / sizes) > bound) & (sizes >= ready_from)
    found = crossed.any(1)
    stopped = np.where(found, sizes[crossed.argmax(1)], total)
    return Stopping(float(found.mean()), float(stopped.mean()), float(np.quantile(stopped, 0.9)))


def group_sequential_stopping(
    of: Target, total: float, fractions: tuple[float, ...], alpha: float, spending: Spending = "obrien_fleming"
) -> Stopping:
    """Integrate a group sequential test; arguments as in `sizes.group_sequential_size`, with its total.

    Raises:
        ValueError: total is not positive, or fractions do not increase.
    """
    if total <= 0:
        raise ValueError("total must be positive")
    bounds = boundaries(fractions, np.array([alpha]), spending)[:, 0]
    drift = abs(of.effect) * float(np.sqrt(total / of.variance))
    found = crossing(fractions, bounds, drift)
    stops: Floats = found.upper + found.lower
    power = float(stops.sum())
    stops[-1] += 1 - power  # the plan's end stops what has not crossed
    sizes = total * np.array(fractions)
    place = int(np.searchsorted(stops.cumsum(), 0.9 - 1e-12))
    return Stopping(power, float(stops @ sizes), float(sizes[min(place, len(sizes) - 1)]))
