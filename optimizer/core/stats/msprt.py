"""The mixture sequential probability ratio test with a *fixed* mixing variance.

Johari, Koomen, Pekelis, Walsh, "Always valid inference: continuous monitoring of A/B tests" (2022), eq. 11. τ is a
variance of effects and stays what it was before the first look: a τ that follows the data loses the guarantee. At
τ = ρ²·n·SE² it is the confidence sequence of `sequential` at that look: a cross-check, not a second opinion.
"""

from __future__ import annotations

import math

from optimizer.core.stats.effects import check_alpha


def likelihood_ratio(difference: float, variance: float, mixing_variance: float) -> float:
    """Return Λ = √(V/(V + τ))·exp(τd²/(2V(V + τ))); infinite beyond what a float holds.

    Args:
        difference: d = μ_b − μ_a.
        variance: V, its sampling variance.
        mixing_variance: τ, the variance of the effects that are thought of.

    Raises:
        ValueError: A variance is not positive.
    """
    log = _log_ratio(difference, variance, mixing_variance)
    return math.exp(log) if log < 700 else math.inf  # noqa: PLR2004 - e⁷⁰⁹ is the largest float


def mixture_p_value(difference: float, variance: float, mixing_variance: float) -> float:
    """Return min(1, 1/Λ): valid at every look; arguments as in `likelihood_ratio`."""
    return math.exp(-max(0.0, _log_ratio(difference, variance, mixing_variance)))


def mixture_half_width(alpha: float, variance: float, mixing_variance: float) -> float:
    """Return the half-width of the interval that is valid at every look: it excludes 0 exactly when p < alpha.

    Raises:
        ValueError: A variance is not positive, or alpha is outside (0, 1).
    """
    check_alpha(alpha)
    _check(variance, mixing_variance)
    total = variance + mixing_variance
    return math.sqrt(variance * total / mixing_variance * (math.log(total / variance) - 2 * math.log(alpha)))


def _log_ratio(difference: float, variance: float, mixing_variance: float) -> float:
    _check(variance, mixing_variance)
    total = variance + mixing_variance
    return (math.log(variance / total) + mixing_variance * difference**2 / (variance * total)) / 2


def _check(variance: float, mixing_variance: float) -> None:
    if variance <= 0 or mixing_variance <= 0:
        raise ValueError("variance and mixing_variance must be positive")
