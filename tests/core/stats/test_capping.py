from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.stats.capping import pooled_threshold, winsorise


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_the_threshold_is_numpys_inverted_cdf_over_all_arms(values: list[int], percentile: float) -> None:
    distinct, counts = np.unique(values, return_counts=True)
    found = pooled_threshold(distinct, counts, percentile)
    assert found == np.quantile(values, percentile, method="inverted_cdf")
    halves = pooled_threshold(np.concatenate([distinct, distinct]), np.concatenate([counts, counts]), percentile)
    assert halves == found
    assert (winsorise(values, found) <= found).all()


def test_a_whale_is_cut_and_nobody_else() -> None:
    values = [0.0] * 90 + [10.0] * 9 + [10_000.0]
    assert winsorise(values, pooled_threshold(values, [1] * 100, 0.99)).max() == 10.0


def test_nonsense_is_named() -> None:
    with pytest.raises(ValueError, match="percentile"):
        pooled_threshold([1], [1], 0.0)
    with pytest.raises(ValueError, match="units"):
        pooled_threshold([1], [0], 0.5)
    with pytest.raises(ValueError, match="units"):
        pooled_threshold([1, 2], [1], 0.5)
