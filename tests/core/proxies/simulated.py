"""Corpora of past experiments with a known truth."""

from __future__ import annotations

import numpy as np

from optimizer.core.proxies.corpus import Corpus, corpus_of_effects

RELATED = np.array([[1.0, 0.3], [0.3, 1.0]])


def simulate(
    rng: np.random.Generator, covariance: np.ndarray, mean: np.ndarray, weights: np.ndarray, unit_noise: np.ndarray
) -> tuple[np.ndarray, Corpus]:
    """Draw true effects and what experiments measured of them.

    Args:
        rng: Source of randomness.
        covariance: Λ, shape (p, p).
        mean: Mean true effects, shape (p,).
        weights: w per experiment, shape (k,).
        unit_noise: O per experiment, shape (k, p, p).
    """
    noise = unit_noise / weights[:, None, None]
    truth = rng.multivariate_normal(mean, covariance, len(weights))
    measured = truth + np.einsum("kij,kj->ki", np.linalg.cholesky(noise), rng.standard_normal(truth.shape))
    return truth, corpus_of_effects(measured, noise, weights)


def alike(count: int, variance: float, correlation: float) -> np.ndarray:
    """Give every experiment the same unit noise."""
    one = variance * np.array([[1.0, correlation], [correlation, 1.0]])
    return np.broadcast_to(one, (count, 2, 2))
