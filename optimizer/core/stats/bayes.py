"""Bayesian comparison: chance to win and expected loss, for conversion rates exactly and for means approximately.

Rates have a Beta prior each, the posteriors are integrated by quadrature. Means (and adjusted rates) have a normal
likelihood and a normal prior on the relative effect, or a flat one. None of it carries an error guarantee when looked
at repeatedly: a result must say so (`CAUTION`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from optimizer.core.stats.effects import Floats
from optimizer.core.stats.pairs import Judged, Pairs, overlay
from optimizer.core.stats.ratios import Lifts, Relation, relative_lifts

CAUTION = "A Bayesian figure carries no guarantee on the error rate when it is read repeatedly."
FINENESS = 0.7  # of the quadrature on the logit scale, in standard deviations of the sharper posterior
FEWEST, MOST = 21, 401  # nodes; the trapezoid rule's error falls geometrically in their number
SKEWED = 20.0  # a posterior with a smaller parameter is not yet bell-shaped and gets half of MOST at least
BROKEN = 2.0  # one with a smaller parameter still has density where the scale ends, and gets all of MOST
FAR = 37.0  # standard deviations beyond which a normal density is 0 to a float
REACH = 1e-12  # tail mass that is left out on each side
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


class Betas(NamedTuple):
    """Beta posteriors of pairs; arrays of shape (pairs,).

    Attributes:
        yes_a: First parameter of the baseline's.
        no_a: Second parameter.
        yes_b: First parameter of the arm's.
        no_b: Second parameter.
        ends_a: Logits of the baseline's rate that leave next to no mass outside.
        ends_b: Likewise of the arm's.
    """

    yes_a: Floats
    no_a: Floats
    yes_b: Floats
    no_b: Floats
    ends_a: tuple[Floats, Floats]
    ends_b: tuple[Floats, Floats]


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
    of = betas(part.total_a, part.n_a, part.total_b, part.n_b, prior)
    belief, (mean_a, mean_b), deviation = believe(of), _means(of), np.sqrt(sum(_variances(of)))
    ends = np.sort(difference_quantiles(of, [level, 1 - level]), axis=0)
    ratios = [found - 1 for found in ratio_quantiles(of, [np.full(len(level), 0.5), level, 1 - level])]
    ratio_ends = np.sort(ratios[1:], axis=0)
    lifts = Lifts(ratios[0], ratio_ends[0], ratio_ends[1], np.full(len(level), "credible", object))
    exact = Judged(
        mean_b - mean_a,
        -special.ndtri(level),
        deviation,
        ends[0],
        ends[1],
        np.full(len(places), np.nan),
        lifts,
        ["beta_binomial"] * len(places),
        *belief,
    )
    overlay(found, exact, places)
    return found


def betas(yes_a: Floats, n_a: Floats, yes_b: Floats, n_b: Floats, prior: Prior) -> Betas:
    """Return the posteriors of two rates.

    Raises:
        ValueError: The prior is not proper.
    """
    if prior.conversions <= 0 or prior.others <= 0:
        raise ValueError("prior needs conversions and others above 0")
    one, other = prior.conversions, prior.others
    a, b = ((yes + one, n - yes + other) for yes, n in ((yes_a, n_a), (yes_b, n_b)))
    return Betas(*a, *b, _ends(*a), _ends(*b))


def believe(of: Betas) -> Belief:
    """Integrate the posteriors of two independent rates.

    Over the points x of the sharper one, against which the other's distribution F is smooth: the chance that the
    other is below is E F(x), and what it falls short of x is E max(x − p, 0) = x·F(x) − μ·F₊(x), μ its mean and F₊
    the distribution with one success more, which is F(x) less a term in closed form. The two losses differ by the
    difference of the means.
    """
    of_b = 1 / of.yes_b + 1 / of.no_b < 1 / of.yes_a + 1 / of.no_a
    sharp = _weights(of, of_b)
    yes, no = np.where(of_b, of.yes_a, of.yes_b), np.where(of_b, of.no_a, of.no_b)
    below = _below(yes, no, sharp.rate)
    one_more = np.exp(_log_density(yes, no, sharp.logit) - (special.betaln(yes, no) + np.log(yes))[:, None])
    short = sharp.rate * below - (yes / (yes + no))[:, None] * (below - one_more)
    lower, less = (sharp.mass * below).sum(1), (sharp.mass * short).sum(1)
    mean_a, mean_b = _means(of)
    loss = np.where(of_b, less - (mean_b - mean_a), less)
    baseline_loss = np.where(of_b, less, less + (mean_b - mean_a))
    return Belief(np.where(of_b, lower, 1 - lower), np.maximum(loss, 0.0), np.maximum(baseline_loss, 0.0))


def difference_quantiles(of: Betas, levels: Sequence[Floats]) -> list[Floats]:
    """Return quantiles of p_b − p_a under the posterior."""
    (mean_a, mean_b), (variance_a, variance_b), (third_a, third_b) = _means(of), _variances(of), _third_cumulants(of)
    scale = _Scale(mean_b - mean_a, variance_a, variance_b, third_b - third_a, lambda rate, x: rate + x)
    return _quantiles(of, levels, scale)


def ratio_quantiles(of: Betas, levels: Sequence[Floats]) -> list[Floats]:
    """Return quantiles of p_b/p_a under the posterior."""
    # Cumulants of the logarithm of a Beta variable are differences of polygamma functions.
    (variance_a, third_a), (variance_b, third_b) = (
        [special.polygamma(order, yes) - special.polygamma(order, yes + no) for order in (1, 2)]
        for yes, no in ((of.yes_a, of.no_a), (of.yes_b, of.no_b))
    )
    mean_a, mean_b = _means(of)
    centre = np.log(mean_b / mean_a)
    scale = _Scale(centre, variance_a, variance_b, third_b - third_a, lambda rate, x: rate * np.exp(x))
    return [np.exp(found) for found in _quantiles(of, levels, scale)]


class _Scale(NamedTuple):
    """How two rates are compared: x such that p_b = moved(p_a, x), with its cumulants under the posterior."""

    centre: Floats
    variance_a: Floats
    variance_b: Floats
    third: Floats
    moved: Callable[[Floats, Floats], Floats]


def _quantiles(of: Betas, levels: Sequence[Floats], scale: _Scale) -> list[Floats]:
    """Solve P(p_b ≤ moved(p_a, x)) = level for x.

    The sum runs over the points of the posterior that is sharper on the scale of the move, against which the other's
    distribution is smooth. Where that is p_b's (`turned`), the same event reads p_a ≥ moved(p_b, −x).
    """
    turned = scale.variance_b < scale.variance_a
    sharp = _weights(of, turned)
    yes, no = np.where(turned, of.yes_a, of.yes_b), np.where(turned, of.no_a, of.no_b)
    sign = np.where(turned, -1.0, 1.0)

    def probit(x: Floats) -> Floats:
        reached = np.clip(scale.moved(sharp.rate, (sign * x)[:, None]), 0.0, 1.0)
        below = (sharp.mass * _below(yes, no, reached)).sum(1)
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


class _Weights(NamedTuple):
    """A posterior as points and their probabilities, shape (pairs, nodes)."""

    logit: Floats
    rate: Floats
    mass: Floats


def _weights(of: Betas, of_b: NDArray[np.bool_]) -> _Weights:
    """Lay out the arm's posterior where `of_b`, else the baseline's."""
    yes, no = np.where(of_b, of.yes_b, of.yes_a), np.where(of_b, of.no_b, of.no_a)
    low, high = (np.where(of_b, b, a) for a, b in zip(of.ends_a, of.ends_b, strict=True))
    sharpest = np.sqrt(np.minimum(1 / of.yes_a + 1 / of.no_a, 1 / of.yes_b + 1 / of.no_b))
    least = np.minimum.reduce([of.yes_a, of.no_a, of.yes_b, of.no_b])
    wanted = np.where(least < BROKEN, MOST, np.where(least < SKEWED, MOST / 2, 0)) + (high - low) / (
        FINENESS * sharpest
    )
    nodes = int(np.clip(wanted.max(), FEWEST, MOST))
    logit = low[:, None] + ((high - low) / (nodes - 1))[:, None] * np.arange(nodes)
    log = _log_density(yes, no, logit)
    mass = np.exp(log - log.max(1, keepdims=True))
    return _Weights(logit, special.expit(logit), mass / mass.sum(1, keepdims=True))


def _log_density(yes: Floats, no: Floats, logit: Floats) -> Floats:
    """Return the logarithm of a Beta density on the logit scale, but for its constant."""
    found: Floats = yes[:, None] * special.log_expit(logit) + no[:, None] * special.log_expit(-logit)
    return found


def _ends(yes: Floats, no: Floats) -> tuple[Floats, Floats]:
    """Return the logits outside of which a Beta posterior has next to no mass."""
    low, high = (special.logit(np.maximum(special.betaincinv(*one, REACH), 1e-300)) for one in ((yes, no), (no, yes)))
    return low, -high


def _below(yes: Floats, no: Floats, rate: Floats) -> Floats:
    return np.asarray(special.betainc(yes[:, None], no[:, None], rate), float)


def _means(of: Betas) -> tuple[Floats, Floats]:
    return of.yes_a / (of.yes_a + of.no_a), of.yes_b / (of.yes_b + of.no_b)


def _variances(of: Betas) -> tuple[Floats, Floats]:
    a, b = of.yes_a + of.no_a, of.yes_b + of.no_b
    return of.yes_a * of.no_a / (a**2 * (a + 1)), of.yes_b * of.no_b / (b**2 * (b + 1))


def _third_cumulants(of: Betas) -> tuple[Floats, Floats]:
    found = []
    for yes, no in ((of.yes_a, of.no_a), (of.yes_b, of.no_b)):
        n = yes + no
        found.append(2 * yes * no * (no - yes) / (n**3 * (n + 1) * (n + 2)))
    return found[0], found[1]


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
