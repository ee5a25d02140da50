from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from optimizer.core.stats.power import (
    means_sample_size,
    proportions_sample_size,
    sequential_sample_size,
    simulate_monitoring,
    whole_weeks,
)
from optimizer.core.stats.sequential import critical_value, rho_squared, single_look_power


def test_sample_size_reference_numbers() -> None:
    assert proportions_sample_size(0.10, 0.11) == pytest.approx(14_748.05, abs=0.005)
    assert proportions_sample_size(0.10, 0.11, pooled=True) == pytest.approx(14_750.79, abs=0.005)
    assert math.ceil(proportions_sample_size(0.02, 0.022)) == 80_679
    assert math.ceil(proportions_sample_size(0.30, 0.33)) == 3_760


@given(st.floats(0.1, 10), st.floats(0.01, 1), st.floats(0.01, 0.1), st.floats(0.6, 0.95))
def test_means_agree_with_statsmodels(variance: float, effect: float, alpha: float, power: float) -> None:
    difference = effect * math.sqrt(variance)
    theirs = NormalIndPower().solve_power(effect_size=effect, alpha=alpha, power=power)
    # statsmodels counts rejections in the wrong direction too, which matters only where power is near alpha
    assert means_sample_size(variance, difference, alpha, power) == pytest.approx(theirs, rel=0.01)


def test_a_sequential_plan_has_the_power_it_was_asked_for_at_its_last_look() -> None:
    per_arm = sequential_sample_size(0.30, 0.33)
    spread = 0.3 * 0.7 + 0.33 * 0.67
    for size, enough in ((per_arm, True), (per_arm - 1, False)):
        critical = critical_value(2 * size, 0.05, rho_squared(0.05, 2 * size))
        assert (single_look_power(0.03, math.sqrt(spread / size), critical) >= 0.8) is enough
    assert per_arm > 3_760


def test_monitoring_adds_power_and_stops_early() -> None:
    per_arm = sequential_sample_size(0.30, 0.33)
    found = simulate_monitoring((0.30, 0.33), 0.05, per_arm, np.random.default_rng(1))
    assert 0.80 <= found.power <= 0.92
    assert found.expected_visitors_per_variant < 0.75 * per_arm
    assert found.expected_visitors_per_variant <= found.p90_visitors_per_variant <= per_arm
    nothing = simulate_monitoring((0.30, 0.30), 0.05, per_arm, np.random.default_rng(1))
    assert 0.0 < nothing.power < 0.04


def test_duration_is_in_whole_weeks() -> None:
    assert whole_weeks(7_520, 1_500) == 7
    assert whole_weeks(161_358, 1_500) == 112
    assert whole_weeks(7_520, 1_500, window_days=13.5) == 21
    with pytest.raises(ValueError, match="window_days"):
        whole_weeks(1, 1, window_days=-1)
    with pytest.raises(ValueError, match="daily_visitors"):
        whole_weeks(1, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0.0, 0.1), "base"),
        ((0.1, 1.0), "target"),
        ((0.1, 0.1), "target"),
        ((0.1, 0.2, 0.0), "alpha"),
        ((0.1, 0.2, 0.05, 1.0), "power"),
    ],
)
def test_wrong_input_is_named(arguments: tuple[float, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        proportions_sample_size(*arguments)


def test_wrong_means_input_is_named() -> None:
    with pytest.raises(ValueError, match="variance"):
        means_sample_size(0.0, 1.0)
    with pytest.raises(ValueError, match="power"):
        means_sample_size(1.0, 1.0, 0.05, 2.0)
