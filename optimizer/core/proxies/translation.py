"""From a goal effect to the proxy effect that comes with it: what a plan on a proxy must be powered for.

At goal effect Δ the proxy moves by Δ·Λ_SY/Λ_YY on average, and not by Δ/b, which understates the visitors by 1/ρ⁴.
Around that average it scatters, so power is averaged over the scatter; where the scatter is wide no number of
visitors reaches the power, and the answer says so.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.effects import check_alpha


class Translation(NamedTuple):
    """The proxy's true effect where the goal's is known.

    Attributes:
        expected: Δ·Λ_SY/Λ_YY, in the proxy's own unit.
        scatter: Variance of the proxy's true effect around it, Λ_SS − Λ_SY²/Λ_YY.
    """

    expected: float
    scatter: float


def proxy_effect_of(covariance: np.ndarray, goal_effect: float) -> Translation | None:
    """Translate a goal effect to the proxy.

    Args:
        covariance: Λ, positive semi-definite, proxy first and goal last.
        goal_effect: Δ, in the goal's own unit.

    Returns:
        The translation; None when the goal's effects do not vary beyond their noise.
    """
    if covariance[-1, -1] <= 0:
        return None
    back = float(covariance[0, -1] / covariance[-1, -1])
    return Translation(goal_effect * back, max(0.0, float(covariance[0, 0]) - back * float(covariance[0, -1])))


def average_power(found: Translation, standard_error: float, critical: float) -> float:
    """Return the chance that the proxy's z passes `critical` in the expected direction, averaged over the scatter.

    Raises:
        ValueError: standard_error or critical is not positive.
    """
    if standard_error <= 0 or critical <= 0:
        raise ValueError("standard_error and critical must be positive")
    shift = abs(found.expected) / standard_error - critical
    return float(special.ndtr(shift / math.sqrt(1 + found.scatter / standard_error**2)))


def highest_power(found: Translation) -> float:
    """Return the average power of an endless test: the chance that the proxy moves the expected way at all."""
    if found.scatter <= 0:
        return 1.0 if found.expected else 0.5
    return float(special.ndtr(abs(found.expected) / math.sqrt(found.scatter)))


def standard_error_for(found: Translation, critical: float, power: float) -> float | None:
    """Return the proxy's standard error at which a test has the average power.

    Solves (m·x − c)² = z_β²(1 + v·x²) for x = 1/SE.

    Args:
        found: The translated effect.
        critical: c, in standard errors.
        power: In [.5, 1).

    Returns:
        The standard error; None when no size reaches the power.

    Raises:
        ValueError: critical is not positive, or power is outside [.5, 1).
    """
    check_alpha(power)
    if critical <= 0 or power < 0.5:  # noqa: PLR2004 - below one half a test is not planned
        raise ValueError("critical must be positive and power at least .5")
    z2, mean = float(special.ndtri(power)) ** 2, abs(found.expected)
    leading = mean**2 - z2 * found.scatter
    if leading <= 0:
        return None
    root = math.sqrt(max(0.0, (mean * critical) ** 2 - leading * (critical**2 - z2)))
    return leading / (mean * critical + root)
