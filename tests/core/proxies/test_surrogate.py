from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.proxies.surrogate import surrogate_index


def test_it_is_the_difference_of_expected_goals() -> None:
    past, goals = np.array([800, 200]), np.array([8, 60])
    control, treatment = np.array([700, 300]), np.array([650, 350])
    found = surrogate_index(past, goals, control, treatment, rng=np.random.default_rng(1))
    assert found.estimate == pytest.approx(0.05 * (0.30 - 0.01))
    assert found.interval.lower < found.estimate < found.interval.upper
    assert found.uncovered == 0.0


def test_the_bootstrap_covers_when_the_goal_hangs_on_the_steps_alone() -> None:
    rng = np.random.default_rng(2)
    shares, rates, shifted = np.array([0.6, 0.3, 0.1]), np.array([0.01, 0.1, 0.4]), np.array([0.55, 0.33, 0.12])
    truth = float((shifted - shares) @ rates)
    covered = []
    for _ in range(250):
        past = rng.multinomial(3_000, shares)
        arms = (rng.multinomial(2_000, shares), rng.multinomial(2_000, shifted))
        found = surrogate_index(past, rng.binomial(past, rates), *arms, rng=rng)
        covered.append(found.interval.lower <= truth <= found.interval.upper)
    assert 0.9 < np.mean(covered) < 0.985


def test_units_with_steps_nobody_took_before_are_counted() -> None:
    found = surrogate_index(
        np.array([100, 0]), np.array([10, 0]), np.array([50, 0]), np.array([25, 25]), rng=np.random.default_rng(3)
    )
    assert found.uncovered == 0.25
    assert found.estimate == pytest.approx(0.0)


def test_counts_that_cannot_be_are_refused() -> None:
    some, rng = np.array([5, 5]), np.random.default_rng(4)
    for arguments, word in (
        ((some, some[:1], some, some), "one shape"),
        ((some, some + 1, some, some), "exceed"),
        ((some, some, 0 * some, some), "each hold"),
        ((some, -some, some, some), "counts"),
    ):
        with pytest.raises(ValueError, match=word):
            surrogate_index(*arguments, rng=rng)
