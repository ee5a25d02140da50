from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.core.proxies.corpus import Corpus, corpus_of_effects
from optimizer.core.proxies.covariance import total_covariance
from optimizer.core.proxies.slope import naive_slope, slope, slope_from
from tests.core.proxies.simulated import alike, simulate

HALF = np.array([[1.0, 0.5], [0.5, 1.0]])


@pytest.mark.parametrize(("count", "variance", "related"), [(60, 1.0, 0.6), (30, 0.3, 0.6), (100, 1.0, 0.3)])
def test_the_jackknife_interval_covers_the_slope_at_its_level(count: int, variance: float, related: float) -> None:
    rng = np.random.default_rng(count)
    covariance = np.array([[1.0, related], [related, 1.0]])
    covered = []
    for _ in range(600):
        noise = alike(count, variance, 0.5) * rng.uniform(0.7, 1.3, (count, 1, 1))
        found = slope(simulate(rng, covariance, np.array([0.3, 0.1]), rng.uniform(0.5, 2, count), noise)[1])
        covered.append(found is not None and found.interval.lower <= related <= found.interval.upper)
    assert 0.925 < np.mean(covered) < 0.99


def test_ten_noisy_experiments_give_any_slope_and_the_width_says_so() -> None:
    rng = np.random.default_rng(1)
    found = [slope(simulate(rng, HALF, np.zeros(2), np.ones(10), alike(10, 1.0, 0.5))[1]) for _ in range(400)]
    estimates = np.array([one.estimate[0] for one in found if one is not None]) / HALF[0, 1]
    assert estimates.min() < -4.5
    assert estimates.max() > 5.3
    assert np.mean([one is not None and one.pinned_down for one in found]) < 0.05


def test_ten_precise_experiments_can_be_enough() -> None:
    rng = np.random.default_rng(2)
    close = np.array([[1.0, 0.95], [0.95, 1.0]])
    found = [slope(simulate(rng, close, np.zeros(2), np.ones(10), alike(10, 0.02, 0.5))[1]) for _ in range(100)]
    assert np.mean([one is not None and one.pinned_down for one in found]) > 0.8


def stopped_early(rng: np.random.Generator, count: int) -> tuple[Corpus, np.ndarray]:
    """Tests with one interim look, at half their size, that stop there when the goal's |z| exceeds 1.96."""
    truth = rng.multivariate_normal(np.zeros(2), HALF, count)
    halves = rng.standard_normal((count, 2, 2)) @ np.linalg.cholesky(1.5 * HALF).T * math.sqrt(0.5)
    interim, final = truth + halves[:, 0] / 0.5, truth + halves.sum(1)
    early = np.abs(interim[:, 1]) > 1.96 * math.sqrt(1.5 / 0.5)
    weights = np.where(early, 0.5, 1.0)
    measured = np.where(early[:, None], interim, final)
    return corpus_of_effects(measured, alike(count, 1.5, 0.5) / weights[:, None, None], weights), early


def test_early_stopped_tests_bias_the_slope_less_when_weighted_and_most_when_thrown_away() -> None:
    corpus, early = stopped_early(np.random.default_rng(3), 150_000)
    unweighted = corpus_of_effects(corpus.effects, corpus.noise, np.ones(len(corpus.weights)))

    def bias(of: Corpus) -> float:
        found = slope_from(total_covariance(of))
        assert found is not None
        return float(found[0] / HALF[0, 1]) - 1

    assert bias(corpus) == pytest.approx(0.12, abs=0.04)
    assert bias(unweighted) == pytest.approx(0.48, abs=0.05)
    assert bias(corpus.where(~early)) < -0.4  # what is left was chosen by its outcome


def test_several_proxies_are_solved_together() -> None:
    covariance = np.array([[1.0, 0.2, 0.5], [0.2, 1.0, 0.3], [0.5, 0.3, 1.0]])
    assert slope_from(covariance) == pytest.approx(np.linalg.solve(covariance[:2, :2], covariance[:2, 2]))
    assert slope_from(np.array([[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]])) is None  # a copy
    assert slope_from(np.array([[-0.1, 0.2], [0.2, 1.0]])) is None  # does not vary beyond its noise


def test_what_does_not_vary_has_no_slope() -> None:
    corpus = corpus_of_effects(np.tile([0.1, 0.2], (5, 1)), alike(5, 1.0, 0.5), np.ones(5))
    assert slope(corpus) is None
    assert naive_slope(corpus) is None


def test_too_little_is_refused_by_name() -> None:
    _, corpus = simulate(np.random.default_rng(4), HALF, np.zeros(2), np.ones(5), alike(5, 1.0, 0.5))
    with pytest.raises(ValueError, match="three experiments"):
        slope(corpus.where(np.arange(5) < 2))
    with pytest.raises(ValueError, match="a proxy and the goal"):
        slope(corpus.of_metrics([0]))
    with pytest.raises(ValueError, match="alpha"):
        slope(corpus, 1.0)
