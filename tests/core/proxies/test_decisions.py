from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.decisions import modelled_share, naive_value, split_value, thinned_value
from tests.core.proxies.simulated import alike, simulate

UNRELATED, ZERO = np.eye(2), np.zeros(2)
THRESHOLD = 1.645


def corpora(covariance: np.ndarray, noise: float, runs: int, seed: int) -> list[Corpus]:
    rng = np.random.default_rng(seed)
    return [simulate(rng, covariance, ZERO, np.ones(200), alike(200, noise, 0.8))[1] for _ in range(runs)]


def test_the_naive_value_is_37_percent_of_perfect_where_the_truth_is_nothing() -> None:
    # In closed form: Ξ_SY/√(Λ_SS + Ξ_SS) · exp(−c²Ξ_SS/(2(Λ_SS + Ξ_SS))) = .3748 at Ξ = 2·[[1, .8], [.8, 1]].
    rng = np.random.default_rng(1)
    past = corpora(UNRELATED, 2.0, 150, 1)
    naive = np.mean([naive_value(one, UNRELATED, ZERO, THRESHOLD).share for one in past])
    thinned = [thinned_value(one, UNRELATED, ZERO, THRESHOLD, rng).share or 0.0 for one in past]
    assert naive == pytest.approx(0.37, abs=0.03)
    assert abs(np.mean(thinned)) < 4 * np.std(thinned) / math.sqrt(len(thinned))
    assert modelled_share(UNRELATED, ZERO, 2.0, THRESHOLD) == pytest.approx(0.0)


def test_cross_validating_over_experiments_is_as_rosy_as_not_doing_it() -> None:
    shares = []
    for corpus in corpora(UNRELATED, 2.0, 60, 2):
        folds = np.arange(200) % 5
        gains = []
        for fold in range(5):  # the sign of the rule is learnt on the others, the left-out fifth pays
            others = corpus.where(folds != fold)
            sign = np.sign((others.effects[:, 0] * others.effects[:, 1]).sum())
            left = corpus.where(folds == fold)
            ship = sign * left.effects[:, 0] / np.sqrt(left.noise[:, 0, 0]) > THRESHOLD
            gains.append((ship * left.effects[:, 1]).mean())
        shares.append(np.mean(gains) / 0.39894)
    assert np.mean(shares) == pytest.approx(0.37, abs=0.04)


def test_thinning_and_splitting_agree_on_what_a_good_proxy_is_worth() -> None:
    related = np.array([[1.0, 0.8], [0.8, 1.0]])
    rng = np.random.default_rng(3)
    thinned = [thinned_value(one, related, ZERO, THRESHOLD, rng).share or 0.0 for one in corpora(related, 0.5, 80, 3)]
    split = []
    for _ in range(80):
        truth = rng.multivariate_normal(ZERO, related, 200)
        halves = []
        for _ in range(2):
            _, noise = simulate(rng, related * 1e-12, ZERO, np.full(200, 0.5), alike(200, 0.5, 0.8))
            halves.append(Corpus(truth + noise.effects, noise.noise, noise.weights, noise.experiments, noise.shared))
        split.append(split_value(halves[0], halves[1], related, ZERO, THRESHOLD).share or 0.0)
    expected = modelled_share(related, ZERO, 1.0, THRESHOLD)
    assert np.mean(thinned) == pytest.approx(expected, abs=0.03)
    assert np.mean(split) == pytest.approx(expected, abs=0.03)


def test_a_goal_that_does_not_vary_has_no_perfect_value() -> None:
    [corpus] = corpora(UNRELATED, 1.0, 1, 4)
    found = naive_value(corpus, np.diag([1.0, 0.0]), ZERO, THRESHOLD)
    assert (found.perfect, found.share) == (None, None)
    assert found.standard_error > 0
    assert modelled_share(np.diag([1.0, 0.0]), ZERO, 1.0, THRESHOLD) is None
