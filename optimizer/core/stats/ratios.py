"""Relative lift: how a difference looks against an uncertain control mean.

The critical value is an argument, so that the same two formulas serve a fixed horizon (z or t) and a confidence
sequence. Fieller's interval is the honest one; where it does not exist the delta method stands in, and says so.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from optimizer.core.stats.effects import Interval


class Lift(NamedTuple):
    """Relative effect μ_b/μ_a − 1.

    Attributes:
        estimate: The point estimate.
        interval: By Fieller's theorem, or by the delta method where Fieller's is unbounded.
        method: ``fieller`` or ``delta``.
    """

    estimate: float
    interval: Interval
    method: str


class Sampled(NamedTuple):
    """A mean and the sampling variance of that mean (not of one unit)."""

    mean: float
    variance: float


def relative_lift(control: Sampled, treatment: Sampled, critical: float) -> Lift | None:
    """Estimate μ_b/μ_a − 1 from two independent means.

    Args:
        control: μ_a and its sampling variance.
        treatment: μ_b and its sampling variance.
        critical: Standard errors to extend: z, a t quantile or a confidence sequence's multiplier.

    Returns:
        The lift, or None when the control mean is not positive: relative to a loss, the sign would turn.

    Source:
        Fieller (1954); Franz (2007), "Ratios: a short guide to confidence limits", eq. 7.
    """
    if control.mean <= 0:
        return None
    ratio = treatment.mean / control.mean
    g = critical**2 * control.variance / control.mean**2
    if g >= 1:
        return delta_lift(control, treatment, critical)
    half = critical / abs(control.mean) * math.sqrt(ratio**2 * control.variance + (1 - g) * treatment.variance)
    return Lift(ratio - 1, Interval((ratio - half) / (1 - g) - 1, (ratio + half) / (1 - g) - 1), "fieller")


def delta_lift(control: Sampled, treatment: Sampled, critical: float) -> Lift | None:
    """Estimate μ_b/μ_a − 1 by the delta method: symmetric, and too narrow where the control mean is uncertain.

    Arguments and result are those of `relative_lift`.
    """
    if control.mean <= 0:
        return None
    ratio = treatment.mean / control.mean
    error = math.sqrt(treatment.variance / control.mean**2 + control.variance * treatment.mean**2 / control.mean**4)
    return Lift(ratio - 1, Interval(ratio - critical * error - 1, ratio + critical * error - 1), "delta")
