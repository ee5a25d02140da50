"""Bayesian comparison: chance to win and expected loss, for conversion rates exactly and for means approximately.

Rates have a Beta prior each, the posteriors are integrated by quadrature. Means (and adjusted rates) have a normal
likelihood and a normal prior on the relative effect, or a flat one. None of it carries an error guarantee when looked
at repeatedly: a result must say so (`CAUTION`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.effects import Floats
from optimizer.core.stats.pairs import Judged, Pairs, overlay
from optimizer.core.stats.ratios import Lifts, Relation, relative_lifts

CAUTION = "A Bayesian figure carries no guarantee on the error rate when it is read repeatedly."
FINENESS = 0.4  # of the quadrature on the logit scale, in standard deviations of the sharper posterior
FEWEST, MOST = 41, 401  # nodes; the trapezoid rule's error falls geometrically in their number
SKEWED = 20.0  # a posterior with a smaller parameter is not yet bell-shaped and gets half of MOST at least
FAR = 37.0  # logit beyond which a rate is 0 or 1 to a float
REACH = 1e-15  # tail mass that is left out on each side
STEPS = 40
MOST_UNITS = 1e9  # beyond, a posterior is normal to all digits shown, and incomplete beta functions take seconds
CLOSE = 1e-6  # a last step so small, in standard deviations, leaves an error of its square


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
    """Beta posteriors of pairs; arrays of shape (pairs,)."""

    yes_a: Floats
    no_a: Floats
    yes_b: Floats
    no_b: Floats


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
    part, level = pairs.take(places.tolist()), alpha[places] / 2
    of = betas(part.total_a, part.n_a, part.total_b, part.n_b, prior)
    belief, (mean_a, mean_b), deviation = believe(of), _means(of), np.sqrt(sum(_variances(of)))
    ends = np.sort([difference_quantile(of, at) for at in (level, 1 - level)], axis=0)
    ratios = [ratio_quantile(of, at) - 1 for at in (np.full(len(level), 0.5), level, 1 - level)]
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
    return Betas(yes_a + one, n_a - yes_a + other, yes_b + one, n_b - yes_b + other)


def believe(of: Betas) -> Belief:
    """Integrate the posteriors of two independent rates.

    With F the distribution and f the density of each rate: P(p_b > p_a) = ∫ f_b F_a, and the expected losses are
    ∫ F_b (1 − F_a) and ∫ F_a (1 − F_b).
    """
    low = np.minimum(_low(of.yes_a, of.no_a), _low(of.yes_b, of.no_b))
    high = np.maximum(-_low(of.no_a, of.yes_a), -_low(of.no_b, of.yes_b))
    logit, step = _grid(of, np.maximum(low, -FAR), np.minimum(high, FAR))
    rate, rest = special.expit(logit), special.expit(-logit)
    slope = rate * rest * step[:, None]
    below_a, below_b = _below(of.yes_a, of.no_a, rate), _below(of.yes_b, of.no_b, rate)
    above_a, above_b = _below(of.no_a, of.yes_a, rest), _below(of.no_b, of.yes_b, rest)
    weight = _weights(of, of.yes_b, of.no_b)
    chance = (weight.mass * _below(of.yes_a, of.no_a, weight.rate)).sum(1)
    return Belief(chance, (below_b * above_a * slope).sum(1), (below_a * above_b * slope).sum(1))


def difference_quantile(of: Betas, level: Floats) -> Floats:
    """Return the quantile of p_b − p_a under the posterior."""
    mean_a, mean_b = _means(of)
    return _quantile(of, level, mean_b - mean_a, _variances(of), lambda rate, x: rate + x)


def ratio_quantile(of: Betas, level: Floats) -> Floats:
    """Return the quantile of p_b/p_a under the posterior."""
    mean_a, mean_b = _means(of)
    variances = (
        special.polygamma(1, of.yes_a) - special.polygamma(1, of.yes_a + of.no_a),
        special.polygamma(1, of.yes_b) - special.polygamma(1, of.yes_b + of.no_b),
    )
    return np.exp(_quantile(of, level, np.log(mean_b / mean_a), variances, lambda rate, x: rate * np.exp(x)))


def _quantile(
    of: Betas,
    level: Floats,
    centre: Floats,
    variances: tuple[Floats, Floats],
    moved: Callable[[Floats, Floats], Floats],
) -> Floats:
    """Solve P(p_b ≤ moved(p_a, x)) = level for x: secants on the probit scale, where it is all but a line.

    The sum runs over the points of the posterior that is sharper on the scale of the move, against which the other's
    distribution is smooth. Where that is p_b's (`turned`), the same event reads p_a ≥ moved(p_b, −x). A secant that
    does not halve what is missed is followed by a bisection.
    """
    spread, turned = np.sqrt(variances[0] + variances[1]), variances[1] < variances[0]
    sharp = _weights(of, np.where(turned, of.yes_b, of.yes_a), np.where(turned, of.no_b, of.no_a))
    yes, no = np.where(turned, of.yes_a, of.yes_b), np.where(turned, of.no_a, of.no_b)
    sign, wanted = np.where(turned, -1.0, 1.0), special.ndtri(level)

    def probit(x: Floats) -> Floats:
        reached = np.clip(moved(sharp.rate, (sign * x)[:, None]), 0.0, 1.0)
        below = (sharp.mass * _below(yes, no, reached)).sum(1)
        chance = np.where(turned, 1 - below, below)
        answer: Floats = special.ndtri(np.clip(chance, 1e-300, 1 - 1e-16)) - wanted
        return answer

    low, high = centre - 40 * spread, centre + 40 * spread
    x, before = centre + wanted * spread, centre + (wanted + 0.1) * spread
    missed, missed_before = probit(x), probit(before)
    for _ in range(STEPS):
        low, high = np.where(missed < 0, x, low), np.where(missed >= 0, x, high)
        rise = missed - missed_before
        secant = x - missed * (x - before) / np.where(rise == 0, 1.0, rise)
        fast = (rise != 0) & (2 * np.abs(missed) < np.maximum(np.abs(missed_before), 1.0))
        before, missed_before = x, missed
        x = np.where((secant > low) & (secant < high) & fast, secant, (low + high) / 2)
        if (np.abs(x - before) < CLOSE * spread).all():
            break
        missed = probit(x)
    return x


class _Weights(NamedTuple):
    """A posterior as points and their probabilities, shape (pairs, nodes)."""

    rate: Floats
    mass: Floats


def _weights(of: Betas, yes: Floats, no: Floats) -> _Weights:
    logit, _ = _grid(of, _low(yes, no), -_low(no, yes))
    log = yes[:, None] * special.log_expit(logit) + no[:, None] * special.log_expit(-logit)
    mass = np.exp(log - log.max(1, keepdims=True))
    return _Weights(special.expit(logit), mass / mass.sum(1, keepdims=True))


def _grid(of: Betas, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    least = np.minimum.reduce(of)
    sharpest = np.sqrt(np.minimum(1 / of.yes_a + 1 / of.no_a, 1 / of.yes_b + 1 / of.no_b))
    wanted = np.where(least < SKEWED, MOST / 2, 0) + (high - low) / (FINENESS * sharpest)
    nodes = int(np.clip(wanted.max(), FEWEST, MOST))
    step = (high - low) / (nodes - 1)
    return low[:, None] + step[:, None] * np.arange(nodes), step


def _low(yes: Floats, no: Floats) -> Floats:
    """Return the logit below which a Beta posterior has next to no mass."""
    found: Floats = special.logit(np.maximum(special.betaincinv(yes, no, REACH), 1e-300))
    return found


def _below(yes: Floats, no: Floats, rate: Floats) -> Floats:
    return np.asarray(special.betainc(yes[:, None], no[:, None], rate), float)


def _means(of: Betas) -> tuple[Floats, Floats]:
    return of.yes_a / (of.yes_a + of.no_a), of.yes_b / (of.yes_b + of.no_b)


def _variances(of: Betas) -> tuple[Floats, Floats]:
    a, b = of.yes_a + of.no_a, of.yes_b + of.no_b
    return of.yes_a * of.no_a / (a**2 * (a + 1)), of.yes_b * of.no_b / (b**2 * (b + 1))


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
