"""Confidence sequences: reference numbers and edges; `test_simulations` watches their error under monitoring."""

from __future__ import annotations

import math

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


def test_an_effect_has_the_stated_width_and_the_larger_standard_error() -> None:
    control, treatment = Moments.of_conversions(2_000, 600), Moments.of_conversions(2_000, 700)
    effect = sequential_proportions(control, treatment, 0.05, RHO2)
    nr = 4_000 * RHO2
    assert effect.critical == pytest.approx(math.sqrt((nr + 1) / nr * (2 * -math.log(0.05) + math.log1p(nr))))
    unpooled = math.sqrt(0.3 * 0.7 / 2_000 + 0.35 * 0.65 / 2_000)
    assert effect.standard_error == pytest.approx(max(unpooled, math.sqrt(0.325 * 0.675 * 2 / 2_000)))
