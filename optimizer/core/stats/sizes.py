"""How many units a question costs, over all arms: at a fixed horizon, monitored, in a few looks, by expected loss.

All sizes are totals over all arms and not rounded. Several comparisons share an error rate (`alpha_each`), and all
metrics that must hold share the risk of missing one (`guardrails.guarded_power`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from optimizer.core.stats.effects import Floats, check_alpha
from optimizer.core.stats.group_sequential import Spending, boundaries, crossing
from optimizer.core.stats.sequential import critical_values, tuned
from optimizer.core.stats.targets import Target

MAXIMUM_SIZE = 1e13
PRECISION = 1e-9  # relative, of the smallest effect that is seen
LARGEST_Z = 37.0  # beyond it the loss is no number any more


def alpha_each(alpha: float, comparisons: int) -> float:
    """Return the error rate of each of several comparisons with the control (Bonferroni, the first step of Holm)."""
    check_alpha(alpha)
    if comparisons < 1:
        raise ValueError("comparisons must be at least 1")
    return alpha / comparisons


def fixed_size(of: Target, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the units over all arms for one look at the end (two-sided).

    Raises:
        ValueError: alpha or power is outside (0, 1).
    """
    z, z_power = _quantiles(alpha, power)
    return (z * math.sqrt(of.null_variance) + z_power * math.sqrt(of.variance)) ** 2 / of.effect**2


def fixed_power(of: Target, sizes: ArrayLike, alpha: float = 0.05) -> Floats:
    """Return the power at given totals, to find the effect in its own direction or the other."""
    n = np.asarray(sizes, float)
    z = -special.ndtri(alpha / 2) * math.sqrt(of.null_variance / of.variance)
    return _two_sided(abs(of.effect) * np.sqrt(n / of.variance), z)


def sequential_power(of: Target, sizes: ArrayLike, alpha: float = 0.05) -> Floats:
    """Return the power of the last look alone of a confidence sequence tuned to each total: a lower bound."""
    n = np.asarray(sizes, float)
    pair = n * of.pair_share
    critical = critical_values(pair, np.array(alpha), tuned(alpha, pair))
    # The sequence takes the larger of both variances; the effect is spread as it is.
    wider = math.sqrt(max(of.variance, of.null_variance) / of.variance)
    return _two_sided(abs(of.effect) * np.sqrt(n / of.variance), critical * wider)


def sequential_size(of: Target, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the total at which the last look of a sequence tuned to it has the power; monitoring can only add.

    At n = N* the critical value does not depend on n, so the size is explicit but for the other direction's sliver.

    Raises:
        ValueError: alpha or power is outside (0, 1).
    """
    low = fixed_size(of, alpha, power) / 2
    return _smallest(lambda n: float(sequential_power(of, n, alpha)), power, low)


def group_sequential_size(
    of: Target,
    fractions: tuple[float, ...],
    alpha: float = 0.05,
    power: float = 0.8,
    spending: Spending = "obrien_fleming",
) -> float:
    """Return the total at the last of the planned looks.

    Args:
        of: The effect to see.
        fractions: Information at each look as a share of the plan, increasing to 1.
        alpha: Two-sided error rate.
        power: Chance to see the effect at one of the looks.
        spending: How alpha is spent.

    Raises:
        ValueError: fractions do not increase to 1, or alpha or power is outside (0, 1).
    """
    return group_sequential_drift(fractions, alpha, power, spending) ** 2 * of.variance / of.effect**2


@functools.lru_cache(maxsize=256)
def group_sequential_drift(
    fractions: tuple[float, ...], alpha: float, power: float, spending: Spending = "obrien_fleming"
) -> float:
    """Return the expected z at the last look with which a design has its power, whatever is measured.

    Arguments and errors are those of `group_sequential_size`.
    """
    if not fractions or fractions[-1] != 1:
        raise ValueError("fractions must increase to 1")
    _quantiles(alpha, power)
    bounds = boundaries(fractions, np.array([alpha]), spending)[:, 0]
    low, high = 0.0, 20.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        enough = float(crossing(fractions, bounds, middle).upper.sum()) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def bayesian_power(of: Target, sizes: ArrayLike, loss: float) -> Floats:
    """Return the chance, at given totals, that the expected loss of choosing the treatment falls below `loss`.

    Flat prior, normal posterior: with z = d/SE the loss is SE·(φ(z) − z·Φ(−z)), which falls as z grows.
    """
    if loss <= 0:
        raise ValueError("loss must be positive")
    error = np.sqrt(of.variance / np.asarray(sizes, float))
    return np.asarray(special.ndtr(abs(of.effect) / error - _accepting(loss / error)), float)


def bayesian_size(of: Target, loss: float, power: float = 0.8) -> float:
    """Return the total at which the expected loss of choosing the better arm falls below `loss` with the chance.

    Args:
        of: The effect that the treatment is thought to have.
        loss: The loss one is willing to accept, in the metric's own unit.
        power: The chance wanted.

    Raises:
        ValueError: loss is not positive or power is outside (0, 1).
    """
    _quantiles(0.05, power)
    return _smallest(lambda n: float(bayesian_power(of, n, loss)), power, 2.0)


def minimum_effect(
    target_of: Callable[[float], Target], power_of: Callable[[Target], float], power: float, largest: float
) -> float:
    """Return the smallest effect in (0, largest] that a plan sees with its power.

    Args:
        target_of: Makes the target of an effect, in any unit (relative or absolute).
        power_of: The power of the plan for a target, growing with the effect.
        power: The power wanted.
        largest: The largest effect thought of, in the unit of `target_of`.

    Raises:
        ValueError: Not even the largest effect is seen.
    """
    if power_of(target_of(largest)) < power:
        raise ValueError("largest is not seen with this power at this size")
    low, high = 0.0, largest
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        enough = power_of(target_of(middle)) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def _accepting(losses: Floats) -> Floats:
    """Return the z at which φ(z) − z·Φ(−z) falls to given losses in standard errors.

    Its logarithm is concave and falls, so that Newton's steps come to the root from the right and stay there.
    """
    wanted = np.log(losses)
    z = -np.asarray(losses, float)
    for _ in range(60):
        z = np.clip(z, None, LARGEST_Z)
        tail = special.ndtr(-z)
        loss = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) - z * tail
        step = (np.log(loss) - wanted) * loss / tail
        z = z + step
        if np.all(np.abs(step) <= 1e-12 * np.maximum(1.0, np.abs(z)) + (z >= LARGEST_Z)):
            break
    return np.asarray(np.clip(z, None, LARGEST_Z), float)


def _smallest(power_of: Callable[[float], float], power: float, low: float) -> float:
    high = 2 * low
    while power_of(high) < power and high < MAXIMUM_SIZE:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def _two_sided(shift: Floats, critical: Floats | float) -> Floats:
    found: Floats = special.ndtr(shift - critical) + special.ndtr(-critical - shift)
    return found


def _quantiles(alpha: float, power: float) -> tuple[float, float]:
    check_alpha(alpha)
    if not 0 < power < 1:
        raise ValueError("power must lie strictly between 0 and 1")
    return float(-special.ndtri(alpha / 2)), float(special.ndtri(power))
