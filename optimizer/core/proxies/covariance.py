"""How true effects vary together over past experiments, with each experiment's own noise taken out.

The noise must be each experiment's own (O_k): one pooled covariance made the goal's variance 1.87 times too large on
a corpus whose small experiments were the noisy ones. Both estimators here are unbiased; they agree exactly when all
experiments are of one size, and stand beside each other elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from optimizer.core.proxies.corpus import ROUNDING, Corpus

SINGULAR_BEYOND = 1e10  # condition number of correlations at which one metric is a copy of the others


class Additive(NamedTuple):
    """Sums over comparisons that both estimators are made of; additive, so that leaving one out is a subtraction.

    Attributes:
        weight: Σw.
        weight_squares: Σw².
        effects: Σwd.
        products: Σw ddᵀ.
        squared_products: Σw² ddᵀ.
        noise: ΣwΞ, which is ΣO.
        mean_noise: Covariance of Σwd that noise alone makes; comparisons that share a control included.
        centre: What was subtracted from every effect, so that sums stay small.
    """

    weight: np.ndarray
    weight_squares: np.ndarray
    effects: np.ndarray
    products: np.ndarray
    squared_products: np.ndarray
    noise: np.ndarray
    mean_noise: np.ndarray
    centre: np.ndarray


def total_covariance(corpus: Corpus) -> np.ndarray:
    """Estimate Λ, the covariance of true effects over experiments, shape (p, p).

    Λ = [Σ w(d − d̄)(d − d̄)ᵀ/W − Σ O(1 − w/W)/W]/(1 − Σw²/W²). It may have a negative eigenvalue, as any unbiased
    estimate of a small variance may.

    Raises:
        ValueError: Fewer than two experiments.

    Source:
        The total-covariance estimator of Bibaut, Chou, Ejdemyr, Kallus, arXiv 2402.17637, with O per experiment.
    """
    return covariance_from(_whole(corpus))


def jive(corpus: Corpus) -> np.ndarray:
    """Estimate Λ by the jackknife instrumental variables estimator, centred, shape (p, p).

    The product of *different* experiments' effects, which share no noise, is taken off the second moment.

    Raises:
        ValueError: Fewer than two experiments.

    Source:
        Bibaut, Chou, Ejdemyr, Kallus, arXiv 2402.17637; Angrist, Imbens, Krueger (1999).
    """
    sums = _whole(corpus)
    different = np.outer(sums.effects, sums.effects) - sums.squared_products
    own_noise = np.einsum("c,cij->ij", corpus.weights**2, corpus.noise)
    pairs = sums.weight**2 - sums.weight_squares
    return np.asarray((sums.products - sums.noise) / sums.weight - (different - sums.mean_noise + own_noise) / pairs)


def second_moment(corpus: Corpus) -> np.ndarray:
    """Estimate Λ + μμᵀ, which is what the jackknife estimator gives uncentred, shape (p, p).

    Leaving a unit out of one factor of the product of its own arm's means equals ddᵀ − O_t/n_t − O_c/n_c with
    unbiased covariances.

    Raises:
        ValueError: Fewer than two experiments.
    """
    sums = _whole(corpus)
    return np.asarray((sums.products - sums.noise) / sums.weight + np.outer(sums.centre, sums.centre))


def covariance_from(sums: Additive) -> np.ndarray:
    """Compute Λ from additive sums; leading axes are kept, so that many leave-one-out sums are one call."""
    weight = sums.weight[..., None, None]
    mean = sums.effects / sums.weight[..., None]
    between = sums.products / weight - mean[..., :, None] * mean[..., None, :]
    noise = sums.noise / weight - sums.mean_noise / weight**2
    spread = 1 - sums.weight_squares / sums.weight**2
    return np.asarray((between - noise) / spread[..., None, None])


def mean_from(sums: Additive) -> np.ndarray:
    """Compute the weighted mean effect from additive sums."""
    return np.asarray(sums.effects / sums.weight[..., None] + sums.centre)


def by_experiment(corpus: Corpus) -> Additive:
    """Return each experiment's part of the sums; leading axis is experiments."""
    weights, centre = corpus.weights, np.average(corpus.effects, axis=0, weights=corpus.weights)
    effects = corpus.effects - centre
    _, places = np.unique(corpus.experiments, return_inverse=True)
    count = places.max() + 1 if len(places) else 0

    def summed(values: np.ndarray) -> np.ndarray:
        total = np.zeros((count, *values.shape[1:]))
        np.add.at(total, places, values)
        return total

    outer = effects[:, :, None] * effects[:, None, :]
    first, second = weights[:, None, None], weights[:, None, None] ** 2
    weight, squares = summed(weights), summed(weights**2)
    # Σ over pairs of one experiment that share a control: w_j w_k (covariance of the control's mean).
    members = summed(np.ones_like(weights))
    common = summed(corpus.shared) / members[:, None, None]
    mean_noise = summed(second * corpus.noise) + (weight**2 - squares)[:, None, None] * common
    return Additive(
        weight,
        squares,
        summed(weights[:, None] * effects),
        summed(first * outer),
        summed(second * outer),
        summed(first * corpus.noise),
        mean_noise,
        centre,
    )


def totalled(parts: Additive) -> Additive:
    """Add the parts of all experiments."""
    return _without_centre(parts, lambda part: part.sum(0))


def each_left_out(parts: Additive) -> Additive:
    """Return the sums without each experiment in turn; leading axis is the experiment that is left out."""
    return _without_centre(parts, lambda part: part.sum(0) - part)


def clip(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Set negative eigenvalues to 0, for quality figures only: a slope from a clipped matrix would be biased.

    Returns:
        The nearest positive semi-definite matrix, and whether anything was clipped.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] >= 0:
        return matrix, False
    beyond_rounding = bool(values[0] < -ROUNDING * np.abs(values).max())
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T), beyond_rounding


def solve_positive(matrix: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """Solve a system with a covariance matrix, scaled to correlations first so that units do not matter.

    Returns:
        The solution, or None when the matrix is not positive definite: something does not vary, or copies the rest.
    """
    spread = np.diag(matrix)
    if not (spread > 0).all():
        return None
    scale = np.sqrt(spread)
    correlations = matrix / np.outer(scale, scale)
    values = np.linalg.eigvalsh(correlations)
    if values[0] <= 0 or values[-1] / values[0] > SINGULAR_BEYOND:
        return None
    return np.asarray(np.linalg.solve(correlations, right / scale) / scale)


def _without_centre(parts: Additive, change: Callable[[np.ndarray], np.ndarray]) -> Additive:
    return Additive._make([*(change(part) for part in parts[:-1]), parts.centre])


def _whole(corpus: Corpus) -> Additive:
    if len(corpus) < 2:  # noqa: PLR2004 - a covariance over experiments needs two
        raise ValueError("corpus must hold two experiments or more")
    return totalled(by_experiment(corpus))
