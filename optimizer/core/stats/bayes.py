"""Bayesian comparison: chance to win and expected loss, for conversion rates exactly and for means approximately.

Rates have a Beta prior each, the posteriors are integrated by quadrature. Means (and adjusted rates) have a normal
likelihood and a normal prior on the relative effect, or a flat one. None of it carries an error guarantee when looked
at repeatedly: a result must say so (`CAUTION`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.betas import Betas, lay_out
from optimizer.core.stats.effects import Floats
from optimizer.core.stats.pairs import Judged, Pairs, overlay
from optimizer.core.stats.ratios import Lifts, Relation, relative_lifts

CAUTION = "A Bayesian figure carries no guarantee on the error rate when it is read repeatedly."
FAR = 37.0  # standard deviations beyond which a normal density is 0 to a float
STEPS = 40
MOST_UNITS = 1e9  # beyond, a posterior is normal to all digits shown, and incomplete beta functions take seconds
CLOSE = 3e-4  # probits missed, before a last secant: it leaves far less


class Prior(NamedTuple):
    """What is believed before the data.

    Attributes:
        conversions: α of the Beta prior of every arm's rate; above 0.
        others: β of it; above 0. Both 1 is the flat prior.
        lift_deviation: Standard deviation of a normal prior, centred on 0, of relative effects on means; None: flat.
    """

    conversions: float = 1.0
    others: float = 1.0
    lift_deviation: float | None = None

    def sentence(self) -> str:
        """Say it, for the result."""
        means = "flat" if self.lift_deviation is None else f"normal with deviation {self.lift_deviation:.0%}"
        return (
            f"Prior: Beta({self.conversions:g}, {self.others:g}) on each rate; {means} on relative effects of means."
        )


FLAT = Prior()


class Belief(NamedTuple):
    """Posterior figures of pairs of rates, arrays with one entry a pair.

    Attributes:
        chance_to_win: P(p_b > p_a).
        loss: E[max(p_a − p_b, 0)]: what choosing b is expected to cost.
        baseline_loss: E[max(p_b − p_a, 0)]: what keeping a is expected to cost.
    """

    chance_to_win: Floats
    loss: Floats
    baseline_loss: Floats


def judge_by_belief(pairs: Pairs, alpha: Floats, prior: Prior) -> Judged:
    """Compare pairs: credible intervals at 1 − alpha, chance to win, expected losses; there is no p-value.

    Args:
        pairs: Pairs; those that are not unadjusted 0/1 values need some variance.
        alpha: Per pair, share of the posterior outside the interval, half of it on each side.
        prior: What was believed before.
    """
    found = _normal(pairs, alpha, prior)
    places = np.flatnonzero((pairs.counts > 0) & (np.maximum(pairs.n_a, pairs.n_b) <= MOST_UNITS))
    if not len(places):
        return found
    part, level = pairs.take(places), alpha[places] / 2
    a, b = betas(part.total_a, part.n_a, prior), betas(part.total_b, part.n_b, prior)
    ends = np.sort(difference_quantiles(a, b, [level, 1 - level]), axis=0)
    ratios = [found - 1 for found in ratio_quantiles(a, b, [np.full(len(level), 0.5), level, 1 - level])]
    ratio_ends = np.sort(ratios[1:], axis=0)
    lifts = Lifts(ratios[0], ratio_ends[0], ratio_ends[1], np.full(len(level), "credible", object))
    exact = Judged(
        b.mean - a.mean,
        -special.ndtri(level),
        np.sqrt(a.variance + b.variance),
        ends[0],
        ends[1],
        np.full(len(places), np.nan),
        lifts,
        ["beta_binomial"] * len(places),
        *believe(a, b),
    )
    overlay(found, exact, places)
    return found


def betas(yes: Floats, n: Floats, prior: Prior) -> Betas:
    """Return the posteriors of rates.

    Raises:
        ValueError: The prior is not proper.
    """
    if prior.conversions <= 0 or prior.others <= 0:
        raise ValueError("prior needs conversions and others above 0")
    return Betas.of(yes + prior.conversions, n - yes + prior.others)


def believe(a: Betas, b: Betas) -> Belief:
    """Integrate the posteriors of two independent rates.

    Over the points x of the sharper one, against which the other's distribution F is smooth: the chance that the
    other is below is E F(x), and what it falls short of x is E max(x − p, 0) = x·F(x) − μ·F₊(x), μ its mean and F₊
    the distribution with one success more, which is F(x) less a term in closed form. The two losses differ by the
    difference of the means.
    """
    of_b = b.logit_variance < a.logit_variance
    sharp, other = b.where(of_b, a), a.where(of_b, b)
    points = lay_out(sharp, other)
    below = other.below(points.rate)
    whole = special.betaln(other.yes, other.no) + np.log(other.yes)
    one_more = np.exp(other.log_density(points.logit) - whole[:, None])
    short = points.rate * below - other.mean[:, None] * (below - one_more)
    lower, less = (points.mass * below).sum(1), (points.mass * short).sum(1)
    gained = b.mean - a.mean
    loss = np.where(of_b, less - gained, less)
    baseline_loss = np.where(of_b, less, less + gained)
    return Belief(np.where(of_b, lower, 1 - lower), np.maximum(loss, 0.0), np.maximum(baseline_loss, 0.0))


def difference_quantiles(a: Betas, b: Betas, levels: Sequence[Floats]) -> list[Floats]:
    """Return quantiles of p_b − p_a under the posterior."""
    third = b.third_cumulant - a.third_cumulant
    scale = _Scale(b.mean - a.mean, a.variance, b.variance, third, lambda rate, x: rate + x)
    return _quantiles(a, b, levels, scale)


def ratio_quantiles(a: Betas, b: Betas, levels: Sequence[Floats]) -> list[Floats]:
    """Return quantiles of p_b/p_a under the posterior."""
    # Cumulants of the logarithm of a Beta variable are differences of polygamma functions.
    (variance_a, third_a), (variance_b, third_b) = (
        [special.polygamma(order, arm.yes) - special.polygamma(order, arm.yes + arm.no) for order in (1, 2)]
        for arm in (a, b)
    )
    centre = np.log(b.mean / a.mean)
    scale = _Scale(centre, variance_a, variance_b, third_b - third_a, lambda rate, x: rate * np.exp(x))
    return [np.exp(found) for found in _quantiles(a, b, levels, scale)]


class _Scale(NamedTuple):
    """How two rates are compared: x such that p_b = moved(p_a, x), with its cumulants under the posterior."""

    centre: Floats
    variance_a: Floats
    variance_b: Floats
    third: Floats
    moved: Callable[[Floats, Floats], Floats]


def _quantiles(a: Betas, b: Betas, levels: Sequence[Floats], scale: _Scale) -> list[Floats]:
    """Solve P(p_b ≤ moved(p_a, x)) = level for x.

    The sum runs over the points of the posterior that is sharper on the scale of the move, against which the other's
    distribution is smooth. Where that is p_b's (`turned`), the same event reads p_a ≥ moved(p_b, −x).
    """
    turned = scale.variance_b < scale.variance_a
    other = a.where(turned, b)
    laid = lay_out(b.where(turned, a), other)
    sign = np.where(turned, -1.0, 1.0)

    def probit(x: Floats) -> Floats:
        reached = np.clip(scale.moved(laid.rate, (sign * x)[:, None]), 0.0, 1.0)
        below = (laid.mass * other.below(reached)).sum(1)
        chance = np.where(turned, 1 - below, below)
        return np.asarray(special.ndtri(np.clip(chance, 1e-300, 1 - 1e-16)), float)

    # Each starts where the first three cumulants put it (Cornish and Fisher 1938), and gives another its first slope.
    spread, wanted = np.sqrt(scale.variance_a + scale.variance_b), [special.ndtri(level) for level in levels]
    bend = np.clip(scale.third / spread**3, -1, 1) / 6
    starts = [scale.centre + spread * (z + bend * (z**2 - 1)) for z in wanted]
    if len(starts) == 1:
        starts.append(starts[0] + 0.1 * spread)
    points = [(start, probit(start)) for start in starts]
    ends = (scale.centre - 40 * spread, scale.centre + 40 * spread)
    return [_solve(probit, z, points[place], points[place - 1], ends) for place, z in enumerate(wanted)]


def _solve(
    probit: Callable[[Floats], Floats],
    wanted: Floats,
    start: tuple[Floats, Floats],
    other: tuple[Floats, Floats],
    ends: tuple[Floats, Floats],
) -> Floats:
    """Find where the probit is `wanted`: secants, because it is all but a line.

    A secant that does not halve what is missed is followed by a bisection.
    """
    low, high = ends
    (x, missed), (before, missed_before) = ((place, reached - wanted) for place, reached in (start, other))
    for _ in range(STEPS):
        low, high = np.where(missed < 0, x, low), np.where(missed >= 0, x, high)
        rise = missed - missed_before
        secant = x - missed * (x - before) / np.where(rise == 0, 1.0, rise)
        fast = (rise != 0) & (2 * np.abs(missed) < np.maximum(np.abs(missed_before), 1.0))
        fast &= (secant > low) & (secant < high)
        if (np.abs(missed) < CLOSE).all():
            return np.where(fast, secant, x)
        before, missed_before = x, missed
        x = np.where(fast, secant, (low + high) / 2)
        missed = probit(x) - wanted
    return x


def _normal(pairs: Pairs, alpha: Floats, prior: Prior) -> Judged:
    """Judge by a normal posterior of the difference; 0/1 values get one too, which the exact one then replaces."""
    variance, d = pairs.variance_a + pairs.variance_b, pairs.difference
    weight = np.ones_like(d)
    if prior.lift_deviation is not None:
        width = (prior.lift_deviation * pairs.base) ** 2
        weight = np.divide(width, width + variance, out=np.ones_like(d), where=width + variance > 0)
    mean, error, critical = weight * d, np.sqrt(weight * variance), -special.ndtri(alpha / 2)
    relation = Relation(mean, pairs.base, error**2, pairs.base_variance, weight * pairs.covariance)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = mean / error
    density = np.exp(-0.5 * np.minimum(np.abs(z), FAR) ** 2) / np.sqrt(2 * np.pi)
    none, half = np.full(len(d), np.nan), critical * error
    loss: Floats = error * density - mean * special.ndtr(-z)
    baseline_loss: Floats = error * density + mean * special.ndtr(z)
    names = ["normal_posterior"] * len(d)
    lifts = relative_lifts(relation, critical)
    bounds = (mean - half, mean + half)
    return Judged(mean, critical, error, *bounds, none, lifts, names, special.ndtr(z), loss, baseline_loss)
