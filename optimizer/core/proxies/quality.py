"""Quality of a proxy for a new test of a given size: how well its *measured* effect will follow the goal's true one.

A proxy with a high correlation of true effects may be too noisy to help a small test, and a quiet one with a lower
correlation better. So the best single proxy can change with the size, and the best mixture changes with it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from optimizer.core.proxies.covariance import clip, solve_positive

CANCELLING = 1e-9


class Mixture(NamedTuple):
    """The best linear combination of proxies.

    Attributes:
        weights: Summing to 1, shape (p − 1,).
        quality: Correlation of its measured effect with the goal's true effect.
        clipped: Whether negative eigenvalues were set to 0 to compute it.
    """

    weights: np.ndarray
    quality: float
    clipped: bool


def quality(covariance: np.ndarray, noise: np.ndarray, weights: np.ndarray) -> float | None:
    """Return Q(w) = wᵀΛ_SY/√(Λ_YY · wᵀ(Λ_SS + Ξ)w), between −1 and 1.

    Args:
        covariance: Λ, the goal last, positive semi-definite (see `clip`), shape (p, p).
        noise: Ξ of the proxies in the new test, shape (p − 1, p − 1).
        weights: w, shape (p − 1,).

    Returns:
        The quality; None when the goal's effects do not vary, or the mixture does not.

    Source:
        Tripuraneni et al., arXiv 2309.07893.
    """
    varied = covariance[-1, -1] * (weights @ (covariance[:-1, :-1] + noise) @ weights)
    if varied <= 0:
        return None
    return float(np.clip(weights @ covariance[:-1, -1] / math.sqrt(varied), -1, 1))


def best_mixture(covariance: np.ndarray, noise: np.ndarray) -> Mixture | None:
    """Return the mixture of the highest quality, w ∝ (Λ_SS + Ξ)⁻¹Λ_SY normalised to sum 1.

    Returns:
        The mixture; None when it cannot be told: singular, nothing varies, or the weights cancel out.
    """
    whole, clipped = clip(covariance)
    raw = solve_positive(whole[:-1, :-1] + noise, whole[:-1, -1])
    if raw is None or abs(raw.sum()) <= CANCELLING * np.abs(raw).sum():
        return None
    weights = raw / raw.sum()
    found = quality(whole, noise, weights)
    return None if found is None else Mixture(weights, found, clipped)


def correlation(covariance: np.ndarray) -> tuple[float | None, bool]:
    """Return the noise-corrected correlation of the first proxy's and the goal's true effects.

    Returns:
        The correlation (None when either does not vary beyond its noise), and whether eigenvalues were clipped.
    """
    whole, clipped = clip(covariance[np.ix_([0, -1], [0, -1])])
    varied = whole[0, 0] * whole[1, 1]
    if varied <= 0:
        return None, clipped
    return float(np.clip(whole[0, 1] / math.sqrt(varied), -1, 1)), clipped
