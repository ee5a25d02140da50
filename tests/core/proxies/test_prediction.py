from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.proxies.corpus import corpus_of_effects
from optimizer.core.proxies.prediction import chance_of_agreement, forecast_goal, forecast_measurement
from tests.core.proxies.simulated import alike, simulate

STRONG, MEAN = np.array([[1.0, 0.7], [0.7, 1.0]]), np.array([0.3, 0.1])


def test_the_interval_holds_the_true_goal_effect_of_the_next_test() -> None:
    rng = np.random.default_rng(1)
    held, chances = [], []
    for _ in range(1_000):
        truth, corpus = simulate(rng, STRONG, MEAN, np.ones(61), alike(61, 0.4, 0.5))
        past = corpus.where(np.arange(61) < 60)
        found = forecast_goal(past, corpus.effects[60, 0], corpus.noise[60, 0, 0])
        assert found is not None
        held.append(found.interval.lower <= truth[60, 1] <= found.interval.upper)
        chances.append((found.chance_positive, truth[60, 1] > 0))
    assert 0.925 < np.mean(held) < 0.975
    said, happened = np.array(chances, float).T
    assert said.mean() == pytest.approx(happened.mean(), abs=0.05)
    assert said[said > 0.8].mean() == pytest.approx(happened[said > 0.8].mean(), abs=0.06)


def test_a_noisy_effect_is_drawn_towards_what_is_usual() -> None:
    _, corpus = simulate(np.random.default_rng(2), STRONG, np.zeros(2), np.ones(2_000), alike(2_000, 0.4, 0.5))
    quiet, noisy = forecast_goal(corpus, 2.0, 0.01), forecast_goal(corpus, 2.0, 1.0)
    assert quiet is not None
    assert noisy is not None
    assert quiet.estimate == pytest.approx(1.4, abs=0.1)
    assert noisy.estimate == pytest.approx(0.7, abs=0.1)
    assert noisy.standard_error > quiet.standard_error


def test_the_chance_that_measured_signs_agree_is_what_happens() -> None:
    rng = np.random.default_rng(3)
    noise = np.array([[0.5, 0.35], [0.35, 0.5]])
    _, past = simulate(rng, STRONG, np.zeros(2), np.ones(1_000), alike(1_000, 0.5, 0.7))
    measured = rng.multivariate_normal(np.zeros(2), STRONG + noise, 4_000)
    forecasts = [forecast_goal(past, effect, 0.5) for effect in measured[:60, 0]]
    assert all(one is not None and (one.estimate > 0) == (one.chance_positive > 0.5) for one in forecasts)
    said = [chance_of_agreement(past, effect, noise) or 0.0 for effect in measured[:500, 0]]
    assert np.mean(said) == pytest.approx((measured.prod(1) > 0).mean(), abs=0.03)


def test_the_interval_of_the_measurement_holds_what_is_measured() -> None:
    rng = np.random.default_rng(5)
    held, beside = [], []
    for _ in range(400):
        _, corpus = simulate(rng, STRONG, MEAN, np.ones(61), alike(61, 0.6, 0.8))
        past = corpus.where(np.arange(61) < 60)
        proxy, goal = corpus.effects[60]
        found = forecast_measurement(past, proxy, corpus.noise[60])
        of_truth = forecast_goal(past, proxy, corpus.noise[60, 0, 0])
        assert found is not None
        assert of_truth is not None
        held.append(found.interval.lower <= goal <= found.interval.upper)
        beside.append(of_truth.interval.lower <= goal <= of_truth.interval.upper)
    assert 0.91 < np.mean(held) < 0.985
    assert np.mean(beside) < 0.9  # the true effect's interval leaves the goal's own noise out


def test_what_never_varied_forecasts_nothing() -> None:
    still = corpus_of_effects(np.zeros((4, 2)), np.zeros((4, 2, 2)), np.ones(4))
    assert forecast_goal(still, 0.1, 0.0) is None
    assert chance_of_agreement(still, 0.1, np.zeros((2, 2))) is None
    with pytest.raises(ValueError, match="three experiments"):
        forecast_goal(still.where(np.arange(4) < 2), 0.1, 0.1)
    with pytest.raises(ValueError, match="noise"):
        forecast_goal(still, 0.1, -1.0)
