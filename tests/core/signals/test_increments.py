from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from optimizer.core.signals.increments import Gain, is_redundant, is_worth_taking_up, lower_bound, weighted_auc


def test_the_auc_of_aggregated_rows_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    score, units = rng.integers(0, 8, 40).astype(float), rng.integers(1, 30, 40)
    converts = rng.binomial(units, 1 / (1 + np.exp(3 - score / 2)))
    outcome = np.concatenate([np.repeat([1, 0], (hit, n - hit)) for hit, n in zip(converts, units, strict=True)])
    expected = roc_auc_score(outcome, np.repeat(score, units))
    assert weighted_auc(score, units.astype(float), converts.astype(float)) == pytest.approx(expected)
    assert weighted_auc(score, units.astype(float), np.zeros(40)) == 0.5


def test_the_lower_bound_covers_as_often_as_promised() -> None:
    rng, weights = np.random.default_rng(2), np.full(16, 10.0)
    below = sum(lower_bound(rng.normal(0.3, 1, 16), weights)[1] <= 0.3 for _ in range(2_000))
    assert 0.935 <= below / 2_000 <= 0.965
    assert lower_bound([0.2], np.ones(1)) == (0.2, -math.inf)


def test_what_mostly_repeats_is_not_taken_up() -> None:
    alone = Gain(log_loss=0.01, lower=0.008, auc=0.02)
    assert is_worth_taking_up(alone, alone)
    assert not is_worth_taking_up(Gain(0.002, 0.001, 0.0), alone)
    assert not is_worth_taking_up(Gain(0.009, -0.001, 0.02), alone)


def test_what_keeps_most_of_what_it_says_is_not_said_by_others_even_where_it_is_not_sure() -> None:
    alone = Gain(log_loss=0.01, lower=0.008, auc=0.02)
    assert is_redundant(Gain(0.002, 0.001, 0.0), alone)
    assert not is_redundant(Gain(0.009, -0.001, 0.02), alone)
    assert not is_redundant(Gain(0.0, -0.001, 0.0), Gain(0.01, -0.002, 0.02))  # nothing sure to repeat
