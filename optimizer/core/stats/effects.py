"""The result types that every two-arm method returns, and the switch between absolute and relative effects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A closed interval; `lower` ≤ `upper`, both finite."""

    lower: float
    upper: float


class Effect(NamedTuple):
    """Treatment minus control.

    Attributes:
        estimate: μ_b − μ_a.
        standard_error: Of the estimate, as the method uses it.
        interval: At the requested level; contains 0 exactly when `p_value` ≥ α, exact tests aside.
        p_value: Two-sided.
        critical: How many standard errors the interval extends; what the relative interval uses in place of z.
        method: The convention, by name.
    """

    estimate: float
    standard_error: float
    interval: Interval
    p_value: float
    critical: float
    method: str


def check_alpha(alpha: float) -> None:
    """Refuse an error rate outside (0, 1).

    Raises:
        ValueError: alpha is not strictly between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie strictly between 0 and 1")
