"""Beta posteriors of rates: as points with probabilities, and as distribution functions.

A posterior of many conversions is all but normal as a logit. There its ends come from three cumulants, and its
distribution function from a polynomial instead of the incomplete beta function, which tests hold to 1e-7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy import special

from optimizer.core.stats.effects import Floats

FINENESS = 0.7  # of the quadrature on the logit scale, in standard deviations of the sharper posterior
FEWEST, MOST = 21, 401  # nodes; the trapezoid rule's error falls geometrically in their number
SKEWED = 20.0  # a posterior with a smaller parameter is not yet bell-shaped and gets half of MOST at least
BROKEN = 2.0  # one with a smaller parameter still has density where the scale ends, and gets all of MOST
BELL = 100.0  # one with no smaller parameter is so nearly normal that its probits are interpolated
REACH = 1e-12  # tail mass that is left out on each side
DEGREE = 8  # of the interpolation
POINTS = chebyshev.chebpts1(DEGREE + 1)
TO_COEFFICIENTS = np.linalg.inv(chebyshev.chebvander(POINTS, DEGREE))


class Betas(NamedTuple):
    """Beta posteriors, one a row.

    Attributes:
        yes: First parameters, shape (rows,).
        no: Second parameters.
        low: Logits that leave next to no mass below.
        high: Logits that leave next to no mass above.
        probits: Chebyshev coefficients of the probit of the distribution function from `low` to `high`, shape
            (rows, `DEGREE` + 1); NaN where a posterior is not bell-shaped.
    """

    yes: Floats
    no: Floats
    low: Floats
    high: Floats
    probits: Floats

    @staticmethod
    def of(yes: Floats, no: Floats) -> Betas:
        """Make them of their parameters."""
        low, high = _ends(yes, no)
        probits, bell = np.full((len(yes), DEGREE + 1), np.nan), np.flatnonzero(np.minimum(yes, no) >= BELL)
        probits[bell] = _interpolated(yes[bell], no[bell], low[bell], high[bell])
        return Betas(yes, no, low, high, probits)

    def where(self, chosen: NDArray[np.bool_], others: Betas) -> Betas:
        """Return these where `chosen`, the others elsewhere."""
        yes, no, low, high = (np.where(chosen, *both) for both in zip(self[:4], others[:4], strict=True))
        return Betas(yes, no, low, high, np.where(chosen[:, None], self.probits, others.probits))

    @property
    def mean(self) -> Floats:
        """Means of the rates."""
        return self.yes / (self.yes + self.no)

    @property
    def variance(self) -> Floats:
        """Variances of the rates."""
        n = self.yes + self.no
        return self.yes * self.no / (n**2 * (n + 1))

    @property
    def third_cumulant(self) -> Floats:
        """Third cumulants of the rates."""
        n = self.yes + self.no
        return 2 * self.yes * self.no * (self.no - self.yes) / (n**3 * (n + 1) * (n + 2))

    @property
    def logit_variance(self) -> Floats:
        """Variances of the logits, to the first term in the parameters."""
        return 1 / self.yes + 1 / self.no

    def log_density(self, logit: Floats) -> Floats:
        """Return the logarithm of the density on the logit scale, but for its constant; shape (rows, points)."""
        found: Floats = self.yes[:, None] * special.log_expit(logit) + self.no[:, None] * special.log_expit(-logit)
        return found

    def below(self, rate: Floats) -> Floats:
        """Return the mass below rates, shape (rows, points)."""
        bell = np.isfinite(self.probits[:, 0])
        some, rest, found = np.flatnonzero(bell), np.flatnonzero(~bell), np.empty_like(rate)
        found[rest] = special.betainc(self.yes[rest, None], self.no[rest, None], rate[rest])
        low, high = self.low[some, None], self.high[some, None]
        place = np.clip((2 * special.logit(rate[some]) - (low + high)) / (high - low), -1.0, 1.0)
        found[some] = special.ndtr(chebyshev.chebval(place, self.probits[some].T[:, :, None], tensor=False))
        return found


class Points(NamedTuple):
    """Posteriors as points and their probabilities, shape (rows, nodes)."""

    logit: Floats
    rate: Floats
    mass: Floats


def lay_out(of: Betas, beside: Betas) -> Points:
    """Lay out posteriors as points, close enough for sums of what the distributions beside them say there."""
    sharpest = np.sqrt(np.minimum(of.logit_variance, beside.logit_variance))
    least = np.minimum.reduce([*of[:2], *beside[:2]])
    wanted = np.where(least < BROKEN, MOST, np.where(least < SKEWED, MOST / 2, 0)) + (of.high - of.low) / (
        FINENESS * sharpest
    )
    nodes = int(np.clip(wanted.max(), FEWEST, MOST))
    logit = of.low[:, None] + ((of.high - of.low) / (nodes - 1))[:, None] * np.arange(nodes)
    log = of.log_density(logit)
    mass = np.exp(log - log.max(1, keepdims=True))
    return Points(logit, special.expit(logit), mass / mass.sum(1, keepdims=True))


def _interpolated(yes: Floats, no: Floats, low: Floats, high: Floats) -> Floats:
    """Return the coefficients of a polynomial through the probits between the ends."""
    logit, upper = ((low + high)[:, None] + (high - low)[:, None] * POINTS) / 2, POINTS > 0
    yes, no, logit = yes[:, None], no[:, None], np.where(upper, -logit, logit)
    tails = special.betainc(np.where(upper, no, yes), np.where(upper, yes, no), special.expit(logit))
    found: Floats = np.where(upper, -1.0, 1.0) * special.ndtri(tails) @ TO_COEFFICIENTS.T
    return found


def _ends(yes: Floats, no: Floats) -> tuple[Floats, Floats]:
    """Return the logits outside of which a Beta posterior has next to no mass."""
    # To their first terms in 1/(x − ½), the cumulants of the logit are those of two logarithms of gamma variables.
    # The ends are quantiles by the first three of them (Cornish and Fisher 1938).
    u, v = np.maximum(yes, BELL) - 0.5, np.maximum(no, BELL) - 0.5
    deviation = np.sqrt(1 / u + 1 / v)
    z, skewness = -special.ndtri(REACH), (1 / v**2 - 1 / u**2) / deviation**3
    low, high = (np.log(u / v) + deviation * (side * z + skewness / 6 * (z**2 - 1)) for side in (-1, 1))
    other = np.flatnonzero(np.minimum(yes, no) < BELL)
    few, rest = yes[other], no[other]
    low[other], high[other] = (
        side * special.logit(np.maximum(special.betaincinv(*one, REACH), 1e-300))
        for side, one in ((1, (few, rest)), (-1, (rest, few)))
    )
    return low, high
