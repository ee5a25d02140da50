"""Planning two equal arms in one call; `targets`, `sizes` and `stopping` plan everything else."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from optimizer.core.stats.sequential import EXPECTED_CONVERSIONS, rho_squared
from optimizer.core.stats.sizes import fixed_size, sequential_size
from optimizer.core.stats.targets import mean_target, proportion_target

LOOKS = 100


class Monitoring(NamedTuple):
    """What monitoring a plan leads to, by simulation.

    Attributes:
        power: Share of runs that reached a verdict by the planned size.
        expected_visitors_per_variant: Mean size at which a run stopped (at the plan when it found nothing).
        p90_visitors_per_variant: 90th percentile of that size.
    """

    power: float
    expected_visitors_per_variant: int
    p90_visitors_per_variant: int


def proportions_sample_size(
    base: float, target: float, alpha: float = 0.05, power: float = 0.8, *, pooled: bool = False
) -> float:
    """Return visitors per arm to tell `target` from `base`, not rounded (two-sided, equal arms).

    Args:
        base: The control's rate, in (0, 1).
        target: The treatment's rate, in (0, 1), different from base.
        alpha: Two-sided error rate.
        power: Chance to see the effect when it is there.
        pooled: Use the pooled variance under the null (Fleiss 1981, eq. 3.14); default is unpooled.

    Raises:
        ValueError: An argument is outside its range.
    """
    return fixed_size(proportion_target(base, target, pooled=pooled), alpha, power) / 2


def means_sample_size(variance: float, difference: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return visitors per arm to see a difference of means, not rounded (normal approximation, equal arms).

    Raises:
        ValueError: An argument is outside its range.
    """
    return fixed_size(mean_target(variance, difference), alpha, power) / 2


def sequential_sample_size(base: float, target: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return visitors per arm at which one look of a confidence sequence tuned to that size has the power.

    Raises:
        ValueError: An argument is outside its range.
    """
    return math.ceil(sequential_size(proportion_target(base, target), alpha, power) / 2)


def simulate_monitoring(
    rates: tuple[float, float], alpha: float, per_arm: int, rng: np.random.Generator, runs: int = 4_000
) -> Monitoring:
    """Simulate a monitored test of two proportions on a grid of equally spaced looks up to the plan.

    Args:
        rates: True rates of control and treatment.
        alpha: Two-sided error rate of the sequence.
        per_arm: Planned visitors per arm (N* is twice that).
        rng: Source of randomness.
        runs: Simulated tests.
    """
    sizes = np.unique(np.linspace(per_arm / LOOKS, per_arm, LOOKS).round().clip(1))
    steps = np.diff(sizes, prepend=0.0)
    arms = [rng.binomial(steps.astype(np.int64), rate, (runs, len(sizes))).cumsum(1) / sizes for rate in rates]
    error2 = sum(rate * (1 - rate) for rate in arms) / sizes
    pooled = (arms[0] + arms[1]) / 2
    error2 = np.maximum(error2, 2 * pooled * (1 - pooled) / sizes)
    nr = 2 * sizes * rho_squared(alpha, 2 * per_arm)
    critical2 = (nr + 1) / nr * (2 * -math.log(alpha) + np.log1p(nr))
    ready = np.minimum(pooled, 1 - pooled) * sizes >= EXPECTED_CONVERSIONS
    crossed = ready & ((arms[1] - arms[0]) ** 2 > critical2 * error2)
    found = crossed.any(1)
    stopped = np.where(found, sizes[crossed.argmax(1)], sizes[-1])
    return Monitoring(float(found.mean()), math.ceil(stopped.mean()), math.ceil(np.quantile(stopped, 0.9)))


def whole_weeks(visitors: int, daily_visitors: float, window_days: float = 0.0) -> int:
    """Return the days a test takes: whole weeks, because weekdays differ, and the wait for the last to convert.

    Args:
        visitors: Over all arms.
        daily_visitors: *New* eligible visitors a day; unique visitors of a week are not seven times those of a day.
        window_days: The metric's conversion window: younger visitors would deflate its rate.

    Raises:
        ValueError: daily_visitors is not positive or window_days is negative.
    """
    if daily_visitors <= 0:
        raise ValueError("daily_visitors must be positive")
    if window_days < 0:
        raise ValueError("window_days must not be negative")
    return 7 * max(1, math.ceil(visitors / daily_visitors / 7)) + math.ceil(window_days)
