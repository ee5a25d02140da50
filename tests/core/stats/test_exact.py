from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from optimizer.core.stats.exact import exact_p_value


@given(st.integers(0, 9), st.integers(70, 3_000), st.integers(0, 60), st.integers(70, 3_000), st.booleans())
def test_fishers_tails_are_scipys(few: int, n_a: int, yes_b: int, n_b: int, others: bool) -> None:
    yes_a, yes_b = (n_a - few, n_b - yes_b) if others else (few, yes_b)
    found, name = exact_p_value(yes_a, n_a, yes_b, n_b)
    if 0 < yes_a + yes_b < n_a + n_b:
        table = np.array([[yes_a, yes_b], [n_a - yes_a, n_b - yes_b]])
        tails = [stats.fisher_exact(table, side).pvalue for side in ("less", "greater")]
        assert name == "fisher"
        assert found == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-6, abs=1e-250)


def test_tables_of_any_size_are_answered_at_once() -> None:
    huge = 2**53
    assert exact_p_value(9, huge, huge // 2, huge) == (0.0, "fisher")
    assert exact_p_value(9, huge, 9, huge) == (1.0, "fisher")
    found, _ = exact_p_value(2, huge, 12, huge)  # given 14 in all, each side is as likely: a fair coin
    assert found == pytest.approx(2 * stats.binom.cdf(2, 14, 0.5), rel=1e-9)
    assert exact_p_value(huge - 2, huge, huge - 12, huge)[0] == pytest.approx(found, rel=1e-9)
