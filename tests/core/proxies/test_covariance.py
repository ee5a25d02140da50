from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.proxies.corpus import Corpus, corpus_of_effects
from optimizer.core.proxies.covariance import (
    by_experiment,
    clip,
    each_left_out,
    jive,
    second_moment,
    total_covariance,
)
from optimizer.core.proxies.covariance import covariance_from as from_sums
from optimizer.core.proxies.slope import naive_slope
from tests.core.proxies.simulated import RELATED, alike, simulate

RUNS = 1_500
MEAN = np.array([0.5, -0.2])


def within_error(draws: list[np.ndarray], truth: np.ndarray) -> None:
    """The mean of the draws lies within four simulation errors of the truth."""
    found = np.array(draws)
    error = found.std(0) / len(found) ** 0.5
    assert (np.abs(found.mean(0) - truth) < 4 * error).all(), (found.mean(0), error)


def test_the_formula_is_the_one_written_down() -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(1, 9, 8)
    _, corpus = simulate(rng, RELATED, MEAN, weights, alike(8, 3.0, 0.4) * rng.uniform(0.5, 2, (8, 1, 1)))
    total, mean = weights.sum(), np.average(corpus.effects, axis=0, weights=weights)
    apart = corpus.effects - mean
    unit = corpus.noise * weights[:, None, None]
    between = np.einsum("k,ki,kj->ij", weights, apart, apart) / total
    noise = np.einsum("kij,k->ij", unit, 1 - weights / total) / total
    expected = (between - noise) / (1 - (weights**2).sum() / total**2)
    assert total_covariance(corpus) == pytest.approx(expected)


def test_ours_is_unbiased_where_the_naive_figure_is_wrong_by_the_known_factor() -> None:
    rng = np.random.default_rng(1)
    unit_noise = alike(30, 100.0, 0.7) * rng.uniform(0.5, 1.5, (30, 1, 1))
    weights = rng.uniform(20, 200, 30)
    corpora = [simulate(rng, RELATED, MEAN, weights, unit_noise)[1] for _ in range(RUNS)]
    within_error([total_covariance(corpus) for corpus in corpora], RELATED)
    within_error([jive(corpus) for corpus in corpora], RELATED)
    within_error([second_moment(corpus) for corpus in corpora], RELATED + np.outer(MEAN, MEAN))
    # The naive slope tends to (Λ + Ξ)_SY/(Λ + Ξ)_SS with Ξ averaged as the plot weights it.
    large = simulate(rng, RELATED, MEAN, np.tile(weights, 700), np.tile(unit_noise, (700, 1, 1)))[1]
    shared = unit_noise.sum(0) / weights.sum()
    factor = (RELATED[0, 1] + shared[0, 1]) / (RELATED[0, 0] + shared[0, 0]) / RELATED[0, 1]
    found = naive_slope(large)
    assert found is not None
    assert found[0] / RELATED[0, 1] == pytest.approx(factor, rel=0.03)
    assert factor > 1.5


def test_a_pooled_noise_makes_the_goals_variance_187_hundredths_of_the_truth() -> None:
    rng = np.random.default_rng(2)
    count = 400
    weights = np.tile([100.0, 25.0], count // 2)
    unit_noise = np.tile([100.0, 281.25], count // 2)[:, None, None] * np.array([[1.0, 0.3], [0.3, 1.0]])
    pooled = np.broadcast_to(np.average(unit_noise, axis=0, weights=weights), unit_noise.shape)
    own, wrong = [], []
    for _ in range(200):
        _, corpus = simulate(rng, np.eye(2), np.zeros(2), weights, unit_noise)
        own.append(total_covariance(corpus))
        wrong.append(total_covariance(corpus_of_effects(corpus.effects, pooled / weights[:, None, None], weights)))
    within_error(own, np.eye(2))
    assert np.mean([one[1, 1] for one in wrong]) == pytest.approx(1.87, abs=0.03)


def test_arms_that_share_a_control_are_not_taken_for_agreement() -> None:
    rng = np.random.default_rng(3)
    share = np.array([[1.0, 0.7], [0.7, 1.0]])
    root = np.linalg.cholesky(share)
    groups = np.repeat(np.arange(12), 3)
    weights = 1.0 + groups
    found, second = [], []
    for _ in range(RUNS):
        control = (rng.standard_normal((12, 2)) @ root.T)[groups]
        own = rng.standard_normal((36, 2)) @ root.T
        effects = rng.multivariate_normal(MEAN, RELATED, 36) + own - control
        noise = np.broadcast_to(2 * share, (36, 2, 2))
        corpus = Corpus(effects, noise, weights, groups, np.broadcast_to(share, (36, 2, 2)))
        found.append(total_covariance(corpus))
        second.append(jive(corpus))
    within_error(found, RELATED)
    within_error(second, RELATED)


def test_both_estimators_agree_exactly_on_experiments_of_one_size() -> None:
    _, corpus = simulate(np.random.default_rng(4), RELATED, MEAN, np.full(9, 3.0), alike(9, 2.0, 0.5))
    assert jive(corpus) == pytest.approx(total_covariance(corpus))


def test_leaving_one_out_is_a_subtraction() -> None:
    _, corpus = simulate(np.random.default_rng(5), RELATED, MEAN, np.arange(1.0, 8.0), alike(7, 2.0, 0.5))
    left_out = from_sums(each_left_out(by_experiment(corpus)))
    assert left_out[2] == pytest.approx(total_covariance(corpus.where(np.arange(7) != 2)))


def test_only_negative_eigenvalues_are_clipped() -> None:
    assert clip(RELATED) == (RELATED, False)
    whole, clipped = clip(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert clipped
    assert np.linalg.eigvalsh(whole) == pytest.approx([0.0, 3.0])


def test_one_experiment_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two experiments"):
        total_covariance(corpus_of_effects(np.ones((1, 2)), np.ones((1, 2, 2)), np.ones(1)))
