from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.proxies.quality import best_mixture, correlation, quality

COVARIANCE = np.array([[1.0, 0.2, 0.5], [0.2, 1.0, 0.3], [0.5, 0.3, 1.0]])


@pytest.mark.parametrize(
    ("scale", "weights", "expected"),
    [(0, (0.6875, 0.3125), 0.5401), (1, (0.4949, 0.5051), 0.4276), (10, (0.2271, 0.7729), 0.2552)],
)
def test_the_best_mixture_is_the_published_one(scale: int, weights: tuple[float, float], expected: float) -> None:
    found = best_mixture(COVARIANCE, scale * np.diag([1, 0.1]))
    assert found is not None
    assert found.weights == pytest.approx(weights, abs=5e-5)
    assert found.quality == pytest.approx(expected, abs=5e-5)
    assert not found.clipped


def test_no_other_mixture_is_better_and_the_best_single_proxy_flips_with_size() -> None:
    rng = np.random.default_rng(0)
    for scale in (0, 1, 10):
        noise = scale * np.diag([1, 0.1])
        found = best_mixture(COVARIANCE, noise)
        assert found is not None
        others = [quality(COVARIANCE, noise, weights) or 0.0 for weights in rng.standard_normal((500, 2))]
        assert max(others) <= found.quality + 1e-12
    first, second = np.eye(2)
    large, small = np.zeros((2, 2)), 10 * np.diag([1, 0.1])
    assert (quality(COVARIANCE, large, first) or 0) > (quality(COVARIANCE, large, second) or 0)
    assert (quality(COVARIANCE, small, first) or 0) < (quality(COVARIANCE, small, second) or 0)


def test_an_impossible_covariance_is_clipped_and_says_so() -> None:
    found = best_mixture(np.array([[0.1, 0.5], [0.5, 1.0]]), np.eye(1))
    assert found is not None
    assert found.clipped
    beyond, clipped = correlation(np.array([[0.1, 0.5], [0.5, 1.0]]))
    assert (beyond, clipped) == (1.0, True)
    within, clipped = correlation(np.array([[4.0, 1.0], [1.0, 1.0]]))
    assert (within, clipped) == (0.5, False)


def test_what_cannot_be_told_is_none() -> None:
    flat = np.diag([1.0, 0.0])
    assert quality(flat, np.eye(1), np.ones(1)) is None
    assert correlation(flat) == (None, False)
    copies = np.array([[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]])
    assert best_mixture(copies, np.zeros((2, 2))) is None
    cancelling = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -0.5], [0.5, -0.5, 1.0]])
    assert best_mixture(cancelling, np.zeros((2, 2))) is None
