from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

from optimizer.core.stats.balance import asymmetry, covariate_balance
from optimizer.core.stats.cross import CrossMoments


@given(st.lists(st.tuples(st.integers(60, 900), st.integers(1_000, 9_000)), min_size=2, max_size=5))
def test_asymmetry_is_the_chi_square_test_of_a_table(arms: list[tuple[int, int]]) -> None:
    happened, units = zip(*arms, strict=True)
    found = asymmetry(happened, units, "merged into a user")
    table = [happened, [n - x for x, n in arms]]
    assert found.p_value == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue, rel=1e-6, abs=1e-300
    )
    assert f"{happened[0]:,} of {units[0]:,}" in found.detail


def test_few_merges_are_not_judged_and_lopsided_ones_are_red() -> None:
    assert asymmetry([0, 3], [4_000, 4_000], "merged").status == "too_few"
    assert asymmetry([5, 0], [5, 0], "merged").p_value == 1.0
    assert not asymmetry([300, 450], [4_000, 4_000], "merged").passed
    with pytest.raises(ValueError, match="happened"):
        asymmetry([5], [4], "merged")
    with pytest.raises(ValueError, match="happened"):
        asymmetry([5], [4, 4], "merged")


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_covariate_balance_is_welchs_analysis_of_variance(seed: int, arms: int) -> None:
    rng = np.random.default_rng(seed)
    samples = {str(arm): rng.normal(0.1 * arm, 1 + arm, int(rng.integers(5, 60))) for arm in range(arms)}
    row = CrossMoments.of_units(["before"], {name: values[:, None] for name, values in samples.items()})
    theirs = anova_oneway(list(samples.values()), use_var="unequal", welch_correction=True)
    assert covariate_balance(row, "before").p_value == pytest.approx(theirs.pvalue, rel=1e-6)


def test_a_covariate_that_cannot_be_compared_says_why() -> None:
    same = CrossMoments.of_units(["x"], {"a": [[3.0]] * 5, "b": [[3.0]] * 5})
    assert covariate_balance(same, "x").status == "no_variance"
    assert covariate_balance(CrossMoments.empty("ab", ["x"]), "x").status == "too_few"
