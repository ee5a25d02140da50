from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from optimizer.core.stats.srm import sample_ratio, sample_ratio_by_segment


def test_a_zero_weight_arm_does_not_count_in_the_degrees_of_freedom() -> None:
    assert sample_ratio((5000, 5200, 0), (0.5, 0.5, 0)).p_value == pytest.approx(0.0477, abs=5e-5)


def test_a_unit_in_a_zero_weight_arm_is_an_error_by_itself() -> None:
    result = sample_ratio((5000, 5000, 1), (1, 1, 0))
    assert (result.p_value, result.stray_units) == (1.0, 1)


@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10)), min_size=2, max_size=5))
def test_the_p_value_is_scipys(arms: list[tuple[int, int]]) -> None:
    units, weights = [a[0] for a in arms], [a[1] for a in arms]
    expected = np.asarray(weights) / sum(weights) * sum(units)
    assert sample_ratio(units, weights).p_value == pytest.approx(stats.chisquare(units, expected).pvalue, abs=1e-12)


def test_nothing_to_test_is_no_mismatch() -> None:
    assert sample_ratio((0, 0), (1, 1)).p_value == 1.0
    assert sample_ratio((10, 0), (1, 0)).p_value == 1.0


def test_the_sequential_test_keeps_its_promise_under_a_hundred_looks() -> None:
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):
        steps = rng.binomial(200, 0.5, 100).cumsum()
        sizes = np.arange(1, 101) * 200
        alarms += any(
            sample_ratio((int(a), int(n - a)), (1, 1)).sequential_p_value < 0.05
            for a, n in zip(steps, sizes, strict=True)
        )
    assert 0.005 <= alarms / 200 <= 0.05


def test_the_sequential_test_sees_gross_mismatch_in_small_tests() -> None:
    for units in ((200, 400), (400, 600), (4_000, 4_400), (5_300, 4_700)):
        assert sample_ratio(units, (1, 1)).sequential_p_value < 0.001


@pytest.mark.parametrize(
    ("units", "weights", "named"),
    [
        ((1, 2), (1,), "weights"),
        ((-1, 2), (1, 1), "units"),
        ((1, 2), (0, 0), "weights"),
        ((1, 2), (-1, 1), "weights"),
    ],
)
def test_wrong_input_is_named(units: tuple[int, ...], weights: tuple[float, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        sample_ratio(units, weights)


def test_segments_locate_the_cause_with_holm() -> None:
    units = {"desktop": [5_000, 5_020], "mobile": [5_000, 4_300], "tablet": [0, 0]}
    found = sample_ratio_by_segment(units, [1, 1])
    assert [row.segment for row in found] == ["mobile", "desktop", "tablet"]
    assert found[0].adjusted_p_value == pytest.approx(3 * found[0].p_value)
    assert found[0].p_value == sample_ratio([5_000, 4_300], [1, 1]).p_value
    assert found[2].p_value == 1.0
