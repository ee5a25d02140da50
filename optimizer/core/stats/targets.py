"""What a plan asks of a metric, whatever its family: an effect to see, and how much a unit tells about it.

With n units over all arms the difference has the variance V/n. Rates, means, ratios, unequal weights, several arms
and non-inferiority differ in V and in the effect only, so one set of formulas plans them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Target(NamedTuple):
    """An effect to see.

    Attributes:
        effect: μ_b − μ_a, or for non-inferiority the distance from the margin; above 0 or below, not 0.
        variance: V: n times the sampling variance of the estimate with n units over all arms.
        null_variance: The same where there is no effect, as the test takes it (pooled), else `variance`.
        pair_share: Share of all units that are in the pair compared.
    """

    effect: float
    variance: float
    null_variance: float
    pair_share: float


class Shares(NamedTuple):
    """Shares of all units that go to the control and to the arm compared with it."""

    control: float = 0.5
    treatment: float = 0.5


EVENLY = Shares()


def shares(weights: Sequence[float], baseline: int = 0) -> list[Shares]:
    """Return the shares of every comparison with the baseline.

    Args:
        weights: Weight per arm, above 0, in any scale.
        baseline: Index of the control.

    Raises:
        ValueError: A weight is not positive, or there is only one.
    """
    if len(weights) <= 1 or min(weights) <= 0:
        raise ValueError("weights must be positive, two or more")
    whole = sum(weights)
    others = (weight for place, weight in enumerate(weights) if place != baseline)
    return [Shares(weights[baseline] / whole, weight / whole) for weight in others]


def proportion_target(base: float, target: float, split: Shares = EVENLY, *, pooled: bool = False) -> Target:
    """Describe a difference of two rates.

    Args:
        base: The control's rate, in (0, 1).
        target: The treatment's rate, in (0, 1), different from base.
        split: Shares of the two arms.
        pooled: Whether the test takes the pooled variance.

    Raises:
        ValueError: A rate is outside its range.
    """
    if not (0 < base < 1 and 0 < target < 1):
        raise ValueError("base and target must lie strictly between 0 and 1")
    if base == target:
        raise ValueError("target must differ from base")
    variance = base * (1 - base) / split.control + target * (1 - target) / split.treatment
    whole = split.control + split.treatment
    middle = (base * split.control + target * split.treatment) / whole
    null = middle * (1 - middle) * (1 / split.control + 1 / split.treatment) if pooled else variance
    return Target(target - base, variance, null, whole)


def mean_target(
    variance: float, difference: float, split: Shares = EVENLY, *, treatment_variance: float | None = None
) -> Target:
    """Describe a difference of two means or ratios, from the observed variance per unit.

    Args:
        variance: Of one control unit (for a ratio the delta method's, see `figures`; adjusted where covariates will
            be used), above 0.
        difference: The effect to see, not 0.
        split: Shares of the two arms.
        treatment_variance: Of one treatment unit; the control's when omitted.

    Raises:
        ValueError: An argument is outside its range.
    """
    if variance <= 0 or (treatment_variance is not None and treatment_variance <= 0) or difference == 0:
        raise ValueError("variance must be positive and difference not 0")
    own = variance if treatment_variance is None else treatment_variance
    whole = variance / split.control + own / split.treatment
    return Target(difference, whole, whole, split.control + split.treatment)


def non_inferiority_target(
    mean: float, variance: float, margin: float, split: Shares = EVENLY, *, true_lift: float = 0.0
) -> Target:
    """Describe a guardrail: the distance of μ_b from (1 − m)·μ_a, tested on one side at α/2.

    Args:
        mean: The control's mean, above 0.
        variance: Of one unit: p(1 − p) for a rate.
        margin: Acceptable relative loss m in (0, 1).
        split: Shares of the two arms.
        true_lift: The relative effect that the guardrail is expected to have; 0 when nothing is lost.

    Raises:
        ValueError: An argument is outside its range, or the true effect is not above the margin.
    """
    if mean <= 0 or variance <= 0 or not 0 < margin < 1:
        raise ValueError("mean and variance must be positive and margin between 0 and 1")
    distance = (margin + true_lift) * mean
    if distance <= 0:
        raise ValueError("true_lift must lie above −margin, or nothing can be shown")
    whole = variance / split.treatment + (1 - margin) ** 2 * variance / split.control
    return Target(distance, whole, whole, split.control + split.treatment)
