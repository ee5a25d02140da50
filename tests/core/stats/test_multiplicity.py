from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from optimizer.core.stats.multiplicity import benjamini_hochberg, holm, interval_alphas

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_benjamini_hochberg_reference_numbers() -> None:
    adjusted = benjamini_hochberg([0.005, 0.06, 0.007, 0.04, 0.01, 0.03])
    assert adjusted == pytest.approx([0.02, 0.06, 0.02, 0.048, 0.02, 0.045])


@given(p_lists)
def test_both_agree_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


@given(p_lists, st.floats(0.01, 0.2))
def test_an_interval_at_its_level_agrees_with_the_adjusted_verdict(p_values: list[float], alpha: float) -> None:
    adjusted = holm(p_values)
    for p, q, own in zip(p_values, adjusted, interval_alphas(p_values, adjusted, alpha), strict=True):
        assert alpha / len(p_values) * 0.999 <= own <= alpha
        if abs(q - alpha) > 1e-9 and q < 1:
            assert (p < own) == (q < alpha)


def test_a_value_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match="p_values"):
        holm([0.1, 1.1])


def test_no_comparisons_give_no_values() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
