"""Confidence sequences: reference numbers, the mSPRT as a cross-check, and simulated error under monitoring."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.stats.moments import Moments
from optimizer.core.stats.sequential import (
    critical_value,
    one_sided_critical_value,
    one_sided_p_value,
    p_value,
    rho_squared,
    sequential_means,
    sequential_proportions,
    single_look_power,
)

PLANNED = 5_000.0
RHO2 = rho_squared(0.05, PLANNED)


def test_width_reference_numbers() -> None:
    z = 1.959963984540054
    assert critical_value(PLANNED, 0.05, RHO2) / z == pytest.approx(1.5486, abs=5e-5)
    assert critical_value(10 * PLANNED, 0.05, RHO2) / z == pytest.approx(1.6540, abs=5e-5)
    one_sided = rho_squared(0.10, PLANNED)
    assert one_sided_critical_value(PLANNED, 0.05, one_sided) == pytest.approx(2.779, abs=5e-4)
    assert one_sided_critical_value(10 * PLANNED, 0.05, one_sided) == pytest.approx(2.989, abs=5e-4)


def msprt(variance: float, tau: float, difference: float) -> float:
    """Λ of Johari et al., written down independently."""
    exponent = tau * difference**2 / (2 * variance * (variance + tau))
    return math.sqrt(variance / (variance + tau)) * math.exp(exponent)


def test_the_msprt_reference_number() -> None:
    assert msprt(0.0004, 0.0025, 0.08) == pytest.approx(367.253, abs=5e-4)
    assert 1 / msprt(0.0004, 0.0025, 0.08) == pytest.approx(0.0027229, abs=5e-8)


@given(st.integers(100, 10**6), st.floats(0.1, 6.0), st.floats(1e-4, 1.0))
def test_the_p_value_is_one_over_the_msprt_at_its_own_mixing_variance(
    n: int, standardised: float, error: float
) -> None:
    expected = min(1.0, 1 / msprt(error**2, RHO2 * n * error**2, standardised * error))
    assert p_value(standardised, n, RHO2) == pytest.approx(expected, rel=1e-9)


@given(st.integers(10, 10**7), st.floats(0.001, 0.3))
def test_at_the_edge_of_the_interval_p_is_alpha(n: int, alpha: float) -> None:
    rho2 = rho_squared(alpha, PLANNED)
    assert p_value(critical_value(n, alpha, rho2), n, rho2) == pytest.approx(alpha)
    assert one_sided_p_value(one_sided_critical_value(n, alpha, rho2), n, rho2) == pytest.approx(alpha)


def test_one_sided_p_is_one_below_zero_and_stays_finite_far_out() -> None:
    assert one_sided_p_value(-3, 1000, RHO2) == 1.0
    assert one_sided_p_value(1e-9, 1000, RHO2) == 1.0
    assert one_sided_p_value(100, 1000, RHO2) < 1e-300


def test_nothing_varies_is_refused_by_name() -> None:
    all_converted = Moments.of_conversions(100, 100)
    with pytest.raises(ValueError, match="no variance"):
        sequential_proportions(all_converted, all_converted, 0.05, RHO2)
    with pytest.raises(ValueError, match="no variance"):
        sequential_means(Moments(3, 3.0, 3.0), Moments(3, 3.0, 3.0), 0.05, RHO2)
    with pytest.raises(ValueError, match="planned_pair"):
        rho_squared(0.05, 0)
    with pytest.raises(ValueError, match="alpha"):
        rho_squared(1.0, 100)


def test_single_look_power_is_the_stated_formula() -> None:
    assert single_look_power(0.0, 1.0, 1.959963984540054) == pytest.approx(0.05)
    assert single_look_power(2.8, 1.0, 1.959963984540054) == pytest.approx(0.8, abs=0.001)


def _false_alarms(rate: float, share: float, *, gated: bool, runs: int = 2_000) -> float:
    """Share of A/A tests that are ever significant over looks every 1% to 4·N*, by our own functions' formulas."""
    rng = np.random.default_rng(20_261_101)
    looks = (np.arange(1, 401) * PLANNED / 100).astype(int)
    sizes_b = np.maximum(1, np.round(looks * share)).astype(int)
    sizes_a = looks - sizes_b
    alarms = 0
    successes = [
        rng.binomial(np.diff(sizes, prepend=0), rate, (runs, len(looks))).cumsum(1) for sizes in (sizes_a, sizes_b)
    ]
    for run in range(runs):
        p_a, p_b = successes[0][run] / sizes_a, successes[1][run] / sizes_b
        pooled = (successes[0][run] + successes[1][run]) / looks
        error = np.sqrt(p_a * (1 - p_a) / sizes_a + p_b * (1 - p_b) / sizes_b)
        ready = error > 0
        if gated:
            error = np.maximum(error, np.sqrt(pooled * (1 - pooled) * (1 / sizes_a + 1 / sizes_b)))
            ready &= np.minimum(sizes_a, sizes_b) * np.minimum(pooled, 1 - pooled) >= 25
        nr = looks * RHO2
        critical = np.sqrt((nr + 1) / nr * (2 * -math.log(0.05) + np.log1p(nr)))
        alarms += bool((np.abs(p_b - p_a)[ready] > (critical * error)[ready]).any())
    return alarms / runs


@pytest.mark.parametrize(("rate", "share"), [(0.3, 0.5), (0.3, 0.1), (0.02, 0.5), (0.02, 0.1)])
def test_error_under_monitoring_stays_in_its_band_with_the_gate(rate: float, share: float) -> None:
    assert 0.001 <= _false_alarms(rate, share, gated=True) <= 0.03


def test_without_the_gate_unequal_arms_break_the_error_rate() -> None:
    assert _false_alarms(0.02, 0.1, gated=False, runs=500) > 0.15


def test_the_simulation_uses_the_packages_own_numbers() -> None:
    control, treatment = Moments.of_conversions(2_000, 600), Moments.of_conversions(2_000, 700)
    effect = sequential_proportions(control, treatment, 0.05, RHO2)
    nr = 4_000 * RHO2
    assert effect.critical == pytest.approx(math.sqrt((nr + 1) / nr * (2 * -math.log(0.05) + math.log1p(nr))))
    unpooled = math.sqrt(0.3 * 0.7 / 2_000 + 0.35 * 0.65 / 2_000)
    assert effect.standard_error == pytest.approx(max(unpooled, math.sqrt(0.325 * 0.675 * 2 / 2_000)))
