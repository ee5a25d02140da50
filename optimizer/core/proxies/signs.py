"""Do proxy and goal move the same way? More carts and fewer purchases is the failure that a proxy hides."""

from __future__ import annotations

import math

import numpy as np

from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.normal import Pair, chance_above, chance_positive_after


def sign_agreement(covariance: np.ndarray, mean: np.ndarray) -> float | None:
    """Return the chance that true proxy and true goal effect have one sign, for normal true effects.

    With means of 0 this is ½ + arcsin(ρ)/π (Sheppard 1899).

    Args:
        covariance: Λ, positive semi-definite, proxy first and goal last.
        mean: Mean true effects.

    Returns:
        The chance; None when either does not vary.
    """
    pair = Pair.of(mean, covariance)
    if pair.x_variance <= 0 or pair.y_variance <= 0:
        return None
    both_up = chance_above(pair, 0.0) * (chance_positive_after(pair, 0.0) or 0.0)
    mirrored = pair.mirrored()
    both_down = chance_above(mirrored, 0.0) * (chance_positive_after(mirrored, 0.0) or 0.0)
    return both_up + both_down


def opposite_sign_risk(covariance: np.ndarray, mean: np.ndarray, noise: float, threshold: float) -> float | None:
    """Return the chance that the goal gets worse although the proxy's z exceeds a threshold in a new test.

    Args:
        covariance: Λ, positive semi-definite, proxy first and goal last.
        mean: Mean true effects.
        noise: The proxy's sampling variance in the new test.
        threshold: In standard errors.
    """
    pair = Pair.of(mean, covariance).with_noise(noise)
    better = chance_positive_after(pair, threshold * math.sqrt(noise))
    return None if better is None else 1 - better


def naive_sign_agreement(corpus: Corpus) -> float | None:
    """Return the share of comparisons whose measured effects have one sign; shared noise alone lifts it above ½."""
    signs = np.sign(corpus.effects[:, [0, -1]])
    moved = (signs != 0).all(1)
    return float((signs[moved, 0] == signs[moved, 1]).mean()) if moved.any() else None
