from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.stats.msprt import likelihood_ratio, mixture_half_width, mixture_p_value
from optimizer.core.stats.sequential import critical_value, p_value, rho_squared

RHO2 = rho_squared(0.05, 5_000)


def test_the_reference_number() -> None:
    assert likelihood_ratio(0.08, 0.0004, 0.0025) == pytest.approx(367.253, abs=5e-4)
    assert mixture_p_value(0.08, 0.0004, 0.0025) == pytest.approx(0.0027229, abs=5e-8)


@given(st.integers(100, 10**6), st.floats(0.0, 6.0), st.floats(1e-4, 1.0))
def test_at_the_sequences_own_mixing_variance_it_is_the_sequence(n: int, standardised: float, error: float) -> None:
    mixing = RHO2 * n * error**2
    assert mixture_p_value(standardised * error, error**2, mixing) == pytest.approx(p_value(standardised, n, RHO2))
    assert mixture_half_width(0.05, error**2, mixing) == pytest.approx(critical_value(n, 0.05, RHO2) * error)


@given(st.floats(1e-6, 10), st.floats(1e-6, 10), st.floats(0.001, 0.5))
def test_at_the_edge_of_the_interval_p_is_alpha(variance: float, mixing: float, alpha: float) -> None:
    edge = mixture_half_width(alpha, variance, mixing)
    assert mixture_p_value(edge, variance, mixing) == pytest.approx(alpha)


def test_far_out_it_stays_a_number_and_nonsense_is_named() -> None:
    assert likelihood_ratio(1e3, 1e-6, 1.0) == math.inf
    assert mixture_p_value(1e3, 1e-6, 1.0) == 0.0
    with pytest.raises(ValueError, match="mixing_variance"):
        mixture_p_value(1.0, 1.0, 0.0)
