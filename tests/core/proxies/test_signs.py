from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.core.proxies.corpus import corpus_of_effects
from optimizer.core.proxies.signs import naive_sign_agreement, opposite_sign_risk, sign_agreement
from tests.core.proxies.simulated import alike, simulate


@pytest.mark.parametrize("related", [-0.7, 0.0, 0.3, 0.9, 1.0])
def test_agreement_is_sheppards_around_zero(related: float) -> None:
    covariance = np.array([[1.0, related], [related, 1.0]])
    assert sign_agreement(covariance, np.zeros(2)) == pytest.approx(0.5 + math.asin(related) / math.pi, abs=2e-3)


def test_agreement_and_risk_are_the_simulated_ones_away_from_zero() -> None:
    covariance, mean = np.array([[2.0, 0.9], [0.9, 1.5]]), np.array([0.3, -0.4])
    rng = np.random.default_rng(1)
    truth = rng.multivariate_normal(mean, covariance, 400_000)
    assert sign_agreement(covariance, mean) == pytest.approx((truth.prod(1) > 0).mean(), abs=4e-3)
    better = truth[:, 0] + rng.normal(0, 0.5, len(truth)) > 1.96 * 0.5
    risk = (truth[better, 1] < 0).mean()
    assert opposite_sign_risk(covariance, mean, 0.25, 1.96) == pytest.approx(risk, abs=6e-3)


def test_shared_noise_alone_makes_measured_signs_agree() -> None:
    _, corpus = simulate(np.random.default_rng(2), np.eye(2), np.zeros(2), np.ones(4_000), alike(4_000, 2.0, 0.8))
    assert sign_agreement(np.eye(2), np.zeros(2)) == pytest.approx(0.5)
    naive = naive_sign_agreement(corpus)
    assert naive is not None
    assert naive > 0.65


def test_what_does_not_vary_has_no_sign() -> None:
    assert sign_agreement(np.diag([1.0, 0.0]), np.zeros(2)) is None
    still = corpus_of_effects(np.zeros((3, 2)), alike(3, 1.0, 0.0), np.ones(3))
    assert naive_sign_agreement(still) is None
