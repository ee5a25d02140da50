"""Relative lift: how a difference looks against an uncertain control mean.

The critical value is an argument, so that the same two formulas serve a fixed horizon (z or t) and a confidence
sequence. Fieller's interval is the honest one; where it does not exist the delta method stands in, and says so.
Both are written for a difference and a base that may be correlated in any way: the base of an adjusted difference is
the *unadjusted* control mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.stats.effects import Floats, Interval


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


class Lifts(NamedTuple):
    """Many relative effects at once, one entry a pair; NaN where the base is not positive.

    Attributes:
        estimate: d/m.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        names: ``fieller``, ``delta`` or, from a posterior, ``credible``.
    """

    estimate: Floats
    lower: Floats
    upper: Floats
    names: NDArray[np.object_]


class Sampled(NamedTuple):
    """A mean and the sampling variance of that mean (not of one unit)."""

    mean: float
    variance: float


class Relation(NamedTuple):
    """A difference d and the base m that it is related to, with their sampling (co)variances; arrays over pairs."""

    difference: Floats
    base: Floats
    variance: Floats
    base_variance: Floats
    covariance: Floats


def relative_lifts(of: Relation, critical: Floats, *, delta: bool = False) -> Lifts:
    """Estimate d/m for many pairs.

    Args:
        of: Differences and their bases.
        critical: Standard errors to extend, per pair: z, a t quantile or a confidence sequence's multiplier.
        delta: Use the delta method throughout.

    Source:
        Fieller (1954); Franz (2007), "Ratios: a short guide to confidence limits", eq. 7, as the quadratic
        (d − r·m)² ≤ z²·(v_d − 2r·cov + r²·v_m), so that the interval excludes 0 exactly when |d| > z·√v_d.
    """
    d, m, v_d, v_m, cov = of
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = d / m
        leading = m**2 - critical**2 * v_m
        middle = d * m - critical**2 * cov
        root = np.sqrt(np.maximum(middle**2 - leading * (d**2 - critical**2 * v_d), 0.0))
        symmetric = critical * np.sqrt(np.maximum(v_d - 2 * ratio * cov + ratio**2 * v_m, 0.0)) / m
        fieller = (leading > 1e-12 * m**2) & (not delta)  # at g = 1 the interval is unbounded
        lower = np.where(fieller, (middle - root) / leading, ratio - symmetric)
        upper = np.where(fieller, (middle + root) / leading, ratio + symmetric)
    positive = (m > 0) & np.isfinite(lower) & np.isfinite(upper)
    estimate, lower, upper = (np.where(positive, array, np.nan) for array in (ratio, lower, upper))
    return Lifts(estimate, lower, upper, np.where(fieller, "fieller", "delta").astype(object))


def relative_lift(control: Sampled, treatment: Sampled, critical: float) -> Lift | None:
    """Estimate μ_b/μ_a − 1 from two independent means.

    Args:
        control: μ_a and its sampling variance.
        treatment: μ_b and its sampling variance.
        critical: Standard errors to extend: z, a t quantile or a confidence sequence's multiplier.

    Returns:
        The lift, or None when the control mean is not positive: relative to a loss, the sign would turn.
    """
    return _lift(control, treatment, critical, delta=False)


def delta_lift(control: Sampled, treatment: Sampled, critical: float) -> Lift | None:
    """Estimate μ_b/μ_a − 1 by the delta method: symmetric, and too narrow where the control mean is uncertain.

    Arguments and result are those of `relative_lift`.
    """
    return _lift(control, treatment, critical, delta=True)


def _lift(control: Sampled, treatment: Sampled, critical: float, *, delta: bool) -> Lift | None:
    values = (
        treatment.mean - control.mean,
        control.mean,
        control.variance + treatment.variance,
        control.variance,
        -control.variance,
    )
    found = relative_lifts(Relation(*np.array(values)[:, None]), np.array([critical]), delta=delta)
    if np.isnan(found.estimate[0]):
        return None
    interval = Interval(float(found.lower[0]), float(found.upper[0]))
    return Lift(float(found.estimate[0]), interval, str(found.names[0]))
