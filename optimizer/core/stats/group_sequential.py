"""Group sequential tests: a few planned looks, and an error rate that is spent on them as information comes in.

Lan and DeMets' spending functions need neither equally spaced looks nor their number in advance. Boundaries come from
the exact distribution of the statistic over looks, by numerical integration of the part of its density that has not
crossed yet (Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, chapter 19). All is done for many error
rates at once, so that p-values cost one pass.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import numpy as np
import scipy
from scipy import special

from optimizer.core.stats.effects import Floats
from optimizer.core.stats.pairs import Judged, Pairs, monitored_variance, normal_answer

Spending = Literal["obrien_fleming", "pocock"]
EQUAL = 1e-9  # boundaries closer than this are one
WIDEST = 37.0  # beyond, a normal tail is no longer a number
TAIL = 8.0  # the density beyond so many standard deviations adds nothing
NODES = 3.2  # quadrature nodes per standard deviation of a step: the error is below 1e-9


class Crossing(NamedTuple):
    """Chance to cross first at each look, arrays over looks."""

    upper: Floats
    lower: Floats


def is_due(share: float, looks: tuple[float, ...], planned_looks: int) -> bool:
    """Tell whether another of the planned looks is taken now.

    Args:
        share: Information now as a share of the plan.
        looks: The same at each look taken so far.
        planned_looks: How many, spread evenly over the plan.
    """
    # A hair more, so that rounding does not hold back the last look.
    return int(min(1.0, share) * planned_looks + EQUAL) > len(looks) and share > max(looks, default=0.0)


def spent(fraction: Floats, alpha: Floats, spending: Spending) -> Floats:
    """Return how much of the two-sided error rate may be used up at an information fraction.

    Args:
        fraction: Share of the planned information, in (0, 1]; broadcasts with `alpha`.
        alpha: Two-sided error rate, in (0, 1].
        spending: Both sides spend α/2 each, by α(t) = 2 − 2Φ(z/√t) or α(t) = α·ln(1 + (e − 1)t).

    Source:
        Lan and DeMets, "Discrete sequential boundaries for clinical trials" (1983), α₁ and α₂.
    """
    found: Floats
    if spending == "pocock":
        found = alpha * np.log1p((np.e - 1) * fraction)
    else:
        found = 4 * special.ndtr(special.ndtri(alpha / 4) / np.sqrt(fraction))
    return np.minimum(found, alpha)


def boundaries(fractions: tuple[float, ...], alpha: Floats, spending: Spending) -> Floats:
    """Return critical values of |z| at each look, shape (looks, error rates).

    Args:
        fractions: Information at each look so far as a share of the plan, increasing; above 1 counts as 1.
        alpha: Two-sided error rates in (0, 1], one or several.
        spending: How the error rate is spent.

    Raises:
        ValueError: fractions do not increase or are not positive.
    """
    times = _times(fractions)
    rates = np.atleast_1d(np.asarray(alpha, float))
    budget = np.diff(np.stack([np.zeros_like(rates), *(spent(np.array(t), rates, spending) for t in times)]), axis=0)
    found = np.empty((len(times), len(rates)))
    walk = _Walk(len(rates))
    for look, step in enumerate(np.diff(times, prepend=0.0)):
        found[look] = walk.bound(float(step), float(times[look]), budget[look])
        if look + 1 < len(times):
            walk.go_on(float(step), found[look] * np.sqrt(times[look]))
    return found


def crossing(fractions: tuple[float, ...], bounds: Floats, drift: float) -> Crossing:
    """Return the chance to cross ±bounds first at each look.

    Args:
        fractions: Information at each look, increasing; here 1 need not be the last.
        bounds: Critical values of |z|, one per look.
        drift: Expected z at information 1: effect over its standard error at the planned size.
    """
    walk = _Walk(1)
    upper, lower = np.zeros(len(bounds)), np.zeros(len(bounds))
    times = np.asarray(fractions, float)
    for look, step in enumerate(np.diff(times, prepend=0.0)):
        edge = np.array([bounds[look] * np.sqrt(times[look])])
        upper[look], lower[look] = walk.tails(float(step), edge, drift)
        walk.go_on(float(step), edge, drift)
    return Crossing(upper, lower)


def judge_group_sequentially(pairs: Pairs, alpha: Floats, fractions: tuple[float, ...], spending: Spending) -> Judged:
    """Compare pairs at the last of the looks so far: repeated intervals and repeated p-values.

    The p-value is the smallest error rate whose boundary has been reached at this look, so it is below α exactly when
    the interval excludes 0 (Jennison and Turnbull 2000, chapter 9).

    Args:
        pairs: Pairs with some variance.
        alpha: Per pair, two-sided error rate.
        fractions: Information at each look so far, this one included.
        spending: How the error rate is spent.
    """
    variance = monitored_variance(pairs)
    distinct, where = np.unique(alpha, return_inverse=True)
    critical = boundaries(fractions, distinct, spending)[-1][where]
    p_value = repeated_p_values(pairs.difference / np.sqrt(variance), fractions, spending)
    names = [f"group_sequential_{spending}"] * len(critical)
    return normal_answer(pairs, variance, critical, p_value, names)


def repeated_p_values(standardised: Floats, fractions: tuple[float, ...], spending: Spending) -> Floats:
    """Return the smallest two-sided error rates whose boundary |z| reaches at the last look."""
    bounds, rates = _table(fractions, spending)
    found: Floats = np.exp(np.interp(np.abs(standardised), bounds, rates))
    return found


@functools.lru_cache(maxsize=64)
def _table(fractions: tuple[float, ...], spending: Spending) -> tuple[Floats, Floats]:
    """Tabulate the last look's boundary against log error rates: splines between few, lines between many."""
    rates = 2 * special.ndtr(-np.linspace(0.0, 9.0, 46))
    bounds = boundaries(fractions, rates, spending)[-1]
    rising = np.concatenate([[True], np.diff(bounds) > EQUAL]) & (bounds < WIDEST - EQUAL)
    bounds, logs = bounds[rising], np.log(rates[rising])
    if len(bounds) <= 1:  # no information since the look before, or next to none: nothing can be shown
        return np.array([0.0]), np.array([0.0])
    fine = np.linspace(bounds[0], bounds[-1], 4_000)
    return fine, scipy.interpolate.PchipInterpolator(bounds, logs)(fine)


def _times(fractions: tuple[float, ...]) -> Floats:
    times: Floats = np.minimum(np.asarray(fractions, float), 1.0)
    if not len(times) or times[0] <= 0 or (np.diff(times) < 0).any():
        raise ValueError("fractions must be positive and increase")
    return times


class _Walk:
    """The density of the score S = z·√t over the region that no boundary has cut off, for several error rates."""

    def __init__(self, rates: int) -> None:
        self.points = np.zeros((rates, 1))
        self.mass = np.ones((rates, 1))  # density times quadrature weight
        self.time = 0.0

    def tails(self, step: float, edge: Floats, drift: float) -> tuple[float, float]:
        """Return the chances to be above `edge` and below −`edge` after another `step` of information."""
        scale, moved = np.sqrt(step), self.points + drift * step
        upper = (self.mass * special.ndtr((moved - edge[:, None]) / scale)).sum()
        return float(upper), float((self.mass * special.ndtr((-edge[:, None] - moved) / scale)).sum())

    def bound(self, step: float, time: float, budget: Floats) -> Floats:
        """Find the |z| that is exceeded with the chance `budget`, by bisection over all error rates at once."""
        low, high = np.zeros(len(budget)), np.full(len(budget), WIDEST)
        if step <= 0:
            return high
        if self.time == 0:  # nothing is cut off yet: a plain normal quantile
            return np.minimum(-special.ndtri(budget / 2), WIDEST)
        scale, root = np.sqrt(step), np.sqrt(time)
        for _ in range(52):
            middle = (low + high) / 2
            edge = (middle * root)[:, None]
            beyond = special.ndtr((self.points - edge) / scale) + special.ndtr((-edge - self.points) / scale)
            too_many = (self.mass * beyond).sum(1) > budget
            low, high = np.where(too_many, middle, low), np.where(too_many, high, middle)
        return high

    def go_on(self, step: float, edge: Floats, drift: float = 0.0) -> None:
        """Move on by `step` and cut off what lies beyond ±`edge`."""
        if step <= 0:
            return
        scale = np.sqrt(step)
        self.time += step
        spread = TAIL * np.sqrt(self.time)
        centre = drift * self.time
        low, high = np.maximum(-edge, centre - spread), np.minimum(edge, centre + spread)
        high = np.maximum(high, low)
        nodes, weights = _legendre(int(np.clip(NODES * (high - low).max() / scale, 32, 400)))
        half = (high - low) / 2
        points = (low + half)[:, None] + half[:, None] * nodes
        gaps = (points[:, :, None] - (self.points + drift * step)[:, None, :]) / scale
        density = (np.exp(-0.5 * gaps**2) * self.mass[:, None, :]).sum(2) / (scale * np.sqrt(2 * np.pi))
        self.points, self.mass = points, density * half[:, None] * weights


@functools.lru_cache(maxsize=128)
def _legendre(count: int) -> tuple[Floats, Floats]:
    nodes, weights = special.roots_legendre(count)
    return nodes, weights
