"""What it is worth to decide by a proxy: "ship when its z exceeds c", valued in the goal.

Both numbers come from the same visitors, so a lucky arm looks good on the proxy *and* on the goal. Cross-validating
over experiments does not help, because the shared noise sits inside each. Thinning does: with ε drawn from the
experiment's own noise, d + ε and d − ε share none, so one judges and the other pays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.normal import Pair, mean_gain_after, mean_positive_part

DRAWS = 200


class DecisionValue(NamedTuple):
    """Mean goal effect won per comparison by shipping when the first proxy's z exceeds c.

    Attributes:
        gain: In the goal's own unit, from past tests at half their size (what thinning costs).
        standard_error: Over experiments.
        perfect: What somebody who knew the true goal effects would win, from Λ; None when they do not vary.
    """

    gain: float
    standard_error: float
    perfect: float | None

    @property
    def share(self) -> float | None:
        """Gain over the perfect gain."""
        return self.gain / self.perfect if self.perfect else None


def thinned_value(
    corpus: Corpus, covariance: np.ndarray, mean: np.ndarray, threshold: float, rng: np.random.Generator
) -> DecisionValue:
    """Value the rule on past experiments without their shared noise.

    Args:
        corpus: Proxy first, goal last.
        covariance: Λ, positive semi-definite, for the perfect gain.
        mean: Mean true effects.
        threshold: c, in standard errors of the proxy.
        rng: Source of randomness; 200 thinnings are averaged.
    """
    pair = corpus.of_metrics([0, corpus.effects.shape[1] - 1])
    draws = rng.standard_normal((DRAWS, *pair.effects.shape))
    jitter = np.einsum("cij,rcj->rci", _roots(pair.noise), draws)
    # z of a test whose noise has twice the variance: what is left of it after thinning.
    ship = (pair.effects[:, 0] + jitter[..., 0]) / np.sqrt(2 * pair.noise[:, 0, 0]) > threshold
    gains = (ship * (pair.effects[:, 1] - jitter[..., 1])).mean(0)
    return _value(corpus, gains, covariance, mean)


def naive_value(corpus: Corpus, covariance: np.ndarray, mean: np.ndarray, threshold: float) -> DecisionValue:
    """Value the rule as a plot of measured effects would: the same visitors judge and pay. Shown beside, never used.

    Arguments and result are those of `thinned_value`.
    """
    ship = corpus.effects[:, 0] / np.sqrt(corpus.noise[:, 0, 0]) > threshold
    return _value(corpus, ship * corpus.effects[:, -1], covariance, mean)


def split_value(
    judging: Corpus, paying: Corpus, covariance: np.ndarray, mean: np.ndarray, threshold: float
) -> DecisionValue:
    """Value the rule where each experiment's units were split: one part judges, the other pays.

    Args:
        judging: Effects from one part of the units; proxy first.
        paying: The same comparisons from the other part; goal last.
        covariance: Λ, positive semi-definite.
        mean: Mean true effects.
        threshold: c, in standard errors of the judging part.
    """
    ship = judging.effects[:, 0] / np.sqrt(judging.noise[:, 0, 0]) > threshold
    return _value(paying, ship * paying.effects[:, -1], covariance, mean)


def modelled_share(covariance: np.ndarray, mean: np.ndarray, noise: float, threshold: float) -> float | None:
    """Return the share of the perfect gain that the rule wins in a new test of any size, for normal true effects.

    Args:
        covariance: Λ, positive semi-definite.
        mean: Mean true effects.
        noise: The proxy's sampling variance in the new test.
        threshold: c, in standard errors.
    """
    pair = Pair.of(mean, covariance).with_noise(noise)
    perfect = mean_positive_part(pair.y_mean, pair.y_variance)
    return mean_gain_after(pair, threshold * math.sqrt(noise)) / perfect if perfect > 0 else None


def _value(corpus: Corpus, gains: np.ndarray, covariance: np.ndarray, mean: np.ndarray) -> DecisionValue:
    _, places = np.unique(corpus.experiments, return_inverse=True)
    members = np.bincount(places)
    per_experiment = np.bincount(places, gains) / members
    error = per_experiment.std(ddof=1) / math.sqrt(len(members)) if len(members) > 1 else math.inf
    perfect = mean_positive_part(float(mean[-1]), float(covariance[-1, -1])) if covariance[-1, -1] > 0 else None
    return DecisionValue(float(per_experiment.mean()), float(error), perfect)


def _roots(noise: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(noise)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])
