"""Planning: how many visitors a question costs, at a fixed horizon and under monitoring."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from optimizer.core.stats.effects import check_alpha
from optimizer.core.stats.sequential import critical_value, rho_squared, single_look_power

LOOKS = 100
MAXIMUM_SIZE = 10**12


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
    check_alpha(alpha)
    if not 0 < power < 1:
        raise ValueError("power must lie strictly between 0 and 1")
    if not (0 < base < 1 and 0 < target < 1):
        raise ValueError("base and target must lie strictly between 0 and 1")
    if base == target:
        raise ValueError("target must differ from base")
    z, z_power = float(stats.norm.isf(alpha / 2)), float(stats.norm.ppf(power))
    spread = base * (1 - base) + target * (1 - target)
    if pooled:
        middle = (base + target) / 2
        numerator = (z * math.sqrt(2 * middle * (1 - middle)) + z_power * math.sqrt(spread)) ** 2
    else:
        numerator = (z + z_power) ** 2 * spread
    return numerator / (target - base) ** 2


def means_sample_size(variance: float, difference: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return visitors per arm to see a difference of means, not rounded (normal approximation, equal arms).

    Raises:
        ValueError: An argument is outside its range.
    """
    check_alpha(alpha)
    if not 0 < power < 1:
        raise ValueError("power must lie strictly between 0 and 1")
    if variance <= 0 or difference == 0:
        raise ValueError("variance must be positive and difference not 0")
    z = float(stats.norm.isf(alpha / 2) + stats.norm.ppf(power))
    return 2 * variance * z**2 / difference**2


def sequential_sample_size(base: float, target: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return visitors per arm at which one look of a confidence sequence tuned to that size has the power.

    The sequence is tuned (N*) to the size asked for, so both are solved together; monitoring can only add power.

    Raises:
        ValueError: An argument is outside its range.
    """
    low = max(1, math.floor(proportions_sample_size(base, target, alpha, power)))
    effect = abs(target - base)
    spread = base * (1 - base) + target * (1 - target)

    def enough(per_arm: int) -> bool:
        critical = critical_value(2 * per_arm, alpha, rho_squared(alpha, 2 * per_arm))
        return single_look_power(effect, math.sqrt(spread / per_arm), critical) >= power

    high = 2 * low
    while not enough(high) and high < MAXIMUM_SIZE:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


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
    ready = np.minimum(pooled, 1 - pooled) * sizes >= 25  # noqa: PLR2004 - the gate of `sequential.py`
    crossed = ready & ((arms[1] - arms[0]) ** 2 > critical2 * error2)
    found = crossed.any(1)
    stopped = np.where(found, sizes[crossed.argmax(1)], sizes[-1])
    return Monitoring(float(found.mean()), math.ceil(stopped.mean()), math.ceil(np.quantile(stopped, 0.9)))


def whole_weeks(visitors: int, daily_visitors: float) -> int:
    """Return the days a test takes, in whole weeks, because weekdays differ.

    Raises:
        ValueError: daily_visitors is not positive.
    """
    if daily_visitors <= 0:
        raise ValueError("daily_visitors must be positive")
    return 7 * max(1, math.ceil(visitors / daily_visitors / 7))
