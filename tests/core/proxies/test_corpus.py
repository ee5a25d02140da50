from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.proxies.corpus import ArmSums, Corpus, check_arm, corpus_of_arms


def sums(units: np.ndarray) -> ArmSums:
    return ArmSums(len(units), units.sum(0), units.T @ units)


@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 10_000))
def test_sums_say_what_the_units_say(n: int, metrics: int, seed: int) -> None:
    units = np.random.default_rng(seed).normal(3, 2, (n, metrics))
    arm = sums(units)
    assert arm.mean == pytest.approx(units.mean(0))
    assert arm.covariance == pytest.approx(np.cov(units.T).reshape(metrics, metrics))
    assert check_arm(arm) == ""


def test_effects_noise_and_weights_come_from_the_arms() -> None:
    rng = np.random.default_rng(1)
    control, first, second = (rng.normal(0, 1, (n, 2)) for n in (50, 40, 30))
    corpus = corpus_of_arms([[sums(control), sums(first), sums(second)], [sums(first), sums(second)]])
    assert len(corpus) == 2
    assert corpus.experiments.tolist() == [0, 0, 1]
    assert corpus.effects[1] == pytest.approx(second.mean(0) - control.mean(0))
    assert corpus.noise[1] == pytest.approx(np.cov(second.T) / 30 + np.cov(control.T) / 50)
    assert corpus.shared[0] == pytest.approx(np.cov(control.T) / 50)
    assert corpus.weights[0] == pytest.approx(1 / (1 / 40 + 1 / 50))


def test_a_new_test_has_the_noise_of_past_ones_of_its_size() -> None:
    rng = np.random.default_rng(2)
    arms = [[sums(rng.normal(0, 3, (500, 1))) for _ in range(2)] for _ in range(40)]
    assert corpus_of_arms(arms).noise_of(1_000)[0, 0] == pytest.approx(9 / 500 + 9 / 500, rel=0.02)


@pytest.mark.parametrize(
    ("arm", "word"),
    [
        (ArmSums(1, np.zeros(2), np.zeros((2, 2))), "two units"),
        (ArmSums(9, np.zeros(2), np.array([[4.0, 1.0], [2.0, 4.0]])), "symmetric"),
        (ArmSums(9, np.zeros(2), np.array([[-4.0, 0.0], [0.0, 4.0]])), "not negative"),
        (ArmSums(9, np.array([9.0, 0.0]), np.array([[4.0, 0.0], [0.0, 4.0]])), "sum of squares"),
        (ArmSums(9, np.zeros(2), np.array([[4.0, 5.0], [5.0, 4.0]])), "cross-product"),
        (ArmSums(10, np.array([5.0, 5.0]), np.array([[5.0, 0.0], [0.0, 5.0]])), ""),
        (ArmSums(10, np.array([9.0, 9.0]), np.array([[9.0, 0.0], [0.0, 9.0]])), "together"),
    ],
)
def test_sums_that_no_units_have_are_refused(arm: ArmSums, word: str) -> None:
    said = check_arm(arm)
    assert word in said
    assert bool(said) == bool(word)


def test_shapes_and_arms_that_do_not_fit_are_refused() -> None:
    arm = ArmSums(5, np.zeros(1), np.ones((1, 1)))
    for arms in ([], [[arm]], [[arm, arm._replace(n=1)]]):
        with pytest.raises(ValueError, match=r"arms|experiments"):
            corpus_of_arms(arms)
    with pytest.raises(ValueError, match="noise"):
        Corpus(np.zeros((2, 1)), np.zeros((2, 2, 2)), np.ones(2), np.arange(2), np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="one entry"):
        Corpus(np.zeros((2, 1)), np.zeros((2, 1, 1)), np.ones(3), np.arange(2), np.zeros((2, 1, 1)))
    with pytest.raises(ValueError, match="positive"):
        Corpus(np.zeros((2, 1)), np.zeros((2, 1, 1)), np.zeros(2), np.arange(2), np.zeros((2, 1, 1)))


def test_a_variance_that_rounding_left_is_none() -> None:
    """Many units of one value: squares that differ from the sum's in the last digit are not a spread."""
    value, n = 0.1 + 0.2, 1_000_000
    square = value * value * n
    for wobble in (1 - 2e-16, 1.0, 1 + 2e-16):
        arm = ArmSums(
            n, np.array([value * n, n / 2]), np.array([[square * wobble, value * n / 2], [value * n / 2, n / 2]])
        )
        assert check_arm(arm) == ""
        assert arm.covariance == pytest.approx(np.array([[0.0, 0.0], [0.0, 0.25]]), rel=1e-5)
        assert arm.covariance[0, 0] == 0.0
