from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.stats.moments import Moments

values = st.lists(st.integers(-1000, 1000), min_size=2, max_size=40)


def of(numbers: list[int]) -> Moments:
    return Moments(len(numbers), sum(numbers), sum(number**2 for number in numbers))


@given(values, values, values)
def test_merging_is_exact_and_associative(a: list[int], b: list[int], c: list[int]) -> None:
    assert (of(a) + of(b)) + of(c) == of(a) + (of(b) + of(c)) == of(a + b + c)


@given(values)
def test_mean_and_variance_are_numpys(numbers: list[int]) -> None:
    assert of(numbers).mean == pytest.approx(np.mean(numbers))
    assert of(numbers).variance == pytest.approx(np.var(numbers, ddof=1), abs=1e-6)


def test_what_counts_cannot_know_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="squares"):
        _ = Moments(10, 5.0, None).variance
    with pytest.raises(ValueError, match="conversions"):
        Moments.of_conversions(10, 11)
    with pytest.raises(ValueError, match="conversions"):
        Moments.of_conversions(10, -1)
    with pytest.raises(ValueError, match="n "):
        Moments(-1, 0.0, 0.0)
    with pytest.raises(ValueError, match="finite"):
        Moments(1, float("nan"), 0.0)
    with pytest.raises(ValueError, match="squares"):
        Moments(10, 100.0, 1.0)
    with pytest.raises(ValueError, match="n = 0"):
        _ = Moments(0, 0.0, 0.0).mean
