"""Two jointly normal numbers, and what is known of one after the other passed a threshold: by quadrature, exact.

Signs, decisions and forecasts all ask the same question of a proxy's measured and a goal's true effect.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


class Pair(NamedTuple):
    """Means, variances and covariance of two jointly normal numbers x and y.

    Attributes:
        x_mean: Of x.
        y_mean: Of y.
        x_variance: 0 or more.
        y_variance: 0 or more.
        covariance: Of x and y, at most the geometric mean of the variances in size.
    """

    x_mean: float
    y_mean: float
    x_variance: float
    y_variance: float
    covariance: float

    @classmethod
    def of(cls, mean: np.ndarray, covariance: np.ndarray) -> Pair:
        """Build from a mean vector and a covariance matrix, x first and y last."""
        return cls(
            float(mean[0]),
            float(mean[-1]),
            float(covariance[0, 0]),
            float(covariance[-1, -1]),
            float(covariance[0, -1]),
        )

    def with_noise(self, variance: float) -> Pair:
        """Return the pair with independent noise added to x."""
        return self._replace(x_variance=self.x_variance + variance)

    def mirrored(self) -> Pair:
        """Return the pair (−x, −y)."""
        return self._replace(x_mean=-self.x_mean, y_mean=-self.y_mean)

    @property
    def slope(self) -> float:
        """Change of E[y] with x; 0 when x does not vary."""
        return self.covariance / self.x_variance if self.x_variance > 0 else 0.0

    @property
    def residual_variance(self) -> float:
        """Variance of y that x leaves open."""
        return max(0.0, self.y_variance - self.slope * self.covariance)


def chance_above(pair: Pair, threshold: float) -> float:
    """Return P(x > threshold)."""
    if pair.x_variance <= 0:
        return float(pair.x_mean > threshold)
    return float(special.ndtr((pair.x_mean - threshold) / math.sqrt(pair.x_variance)))


def chance_positive_after(pair: Pair, threshold: float) -> float | None:
    """Return P(y > 0 | x > threshold), or None when x never is."""
    above = chance_above(pair, threshold)
    if above < 1e-12:  # noqa: PLR2004 - the condition has no probability to speak of
        return None
    if pair.x_variance <= 0:
        given = np.array([pair.x_mean])
    else:
        # Quantiles of x within the tail, at Gauss-Legendre nodes: the mean over them is the conditional expectation.
        tail = above * (1 + _NODES) / 2
        given = pair.x_mean - math.sqrt(pair.x_variance) * special.ndtri(tail)
    expected = pair.y_mean + pair.slope * (given - pair.x_mean)
    left = math.sqrt(pair.residual_variance)
    chances = special.ndtr(expected / left) if left > 0 else (expected > 0).astype(float)
    return float(np.clip(chances @ _WEIGHTS / 2 if len(given) > 1 else chances[0], 0, 1))


def mean_gain_after(pair: Pair, threshold: float) -> float:
    """Return E[y · 1(x > threshold)]: what is won on average by taking y whenever x passes."""
    if pair.x_variance <= 0:
        return pair.y_mean if pair.x_mean > threshold else 0.0
    spread = math.sqrt(pair.x_variance)
    standardised = (threshold - pair.x_mean) / spread
    density = math.exp(-(standardised**2) / 2) / math.sqrt(2 * math.pi)
    return pair.y_mean * chance_above(pair, threshold) + pair.covariance / spread * density


def mean_positive_part(mean: float, variance: float) -> float:
    """Return E[max(y, 0)]: what somebody who knew y would win."""
    return mean_gain_after(Pair(mean, mean, variance, variance, variance), 0.0)
