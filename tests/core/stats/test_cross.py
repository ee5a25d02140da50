from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.moments import Moments

COLUMNS = ("orders", "visits", "before")
units = st.lists(st.tuples(*(st.integers(-1000, 1000),) * 3), max_size=30)


def of(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> CrossMoments:
    return CrossMoments.of_units(COLUMNS, {"a": a, "b": b})


def same(one: CrossMoments, other: CrossMoments) -> bool:
    pairs = ((one.n, other.n), (one.totals, other.totals), (one.products, other.products))
    return all(bool((x == y).all()) for x, y in pairs)


@given(units, units, units, units)
def test_merging_disjoint_units_is_exact_and_starts_from_nothing(
    a: list[tuple[int, ...]], b: list[tuple[int, ...]], c: list[tuple[int, ...]], d: list[tuple[int, ...]]
) -> None:
    merged = of(a, b) + of(c, d)
    assert same(merged, of(a + c, b + d))
    assert same(CrossMoments.empty(("a", "b"), COLUMNS) + merged, merged)


@given(st.lists(st.tuples(*(st.integers(-1000, 1000),) * 3), min_size=2, max_size=30))
def test_means_and_covariances_are_numpys(drawn: list[tuple[int, ...]]) -> None:
    values: NDArray[np.float64] = np.array(drawn, float)
    row = of(drawn, [])
    assert row.means[0] == pytest.approx(values.mean(0))
    assert row.covariances[0] == pytest.approx(np.cov(values.T), abs=1e-6)
    assert row.covariance("a", "orders", "before") == pytest.approx(np.cov(values.T)[0, 2], abs=1e-6)
    assert row.moments("a", "visits").variance == pytest.approx(values[:, 1].var(ddof=1), abs=1e-6)
    assert (row.means[1] == 0).all()
    assert (row.covariances[1] == 0).all()


def test_a_query_gives_only_the_pairs_that_metrics_need() -> None:
    row = CrossMoments.of_sums(
        ("a", "b"), ("x", "y"), (3, 2), [(6, 3), (1, 2)], {("x", "x"): (14, 1), ("y", "x"): (7, 2)}
    )
    assert row.covariance("a", "x", "y") == pytest.approx((7 - 6 * 3 / 3) / 2)
    assert row.moments("a", "x") == Moments(3, 6.0, 14.0)
    assert row.moments("a", "y") == Moments(3, 3.0, None)
    with pytest.raises(ValueError, match=r"products of \(y, y\)"):
        row.covariance("a", "y", "y")
    assert row.select(("y", "x")).totals.tolist() == [[3, 6], [2, 1]]


def test_moments_become_a_row_of_one_column() -> None:
    arms = {"a": Moments.of_conversions(10, 3), "b": Moments(4, 8.0, None)}
    row = CrossMoments.of_moments("x", arms)
    assert {name: row.moments(name, "x") for name in row.arms} == arms


@pytest.mark.parametrize("total", [1e300, np.inf, np.nan])
def test_what_is_too_large_to_square_is_unknown_and_touches_nothing_else(total: float) -> None:
    products = {("x", "x"): (9.0, np.inf), ("y", "y"): (5.0, 5.0), ("x", "y"): (3.0, np.inf)}
    row = CrossMoments.of_sums(("a", "b"), ("x", "y"), (2, 2), [(3, 3), (total, 3)], products)
    assert np.isnan(row.totals).tolist() == [[False, False], [True, False]]
    assert np.isnan(row.products[0]).tolist() == [[False, False], [False, False]]
    assert np.isnan(row.products[1]).tolist() == [[True, True], [True, False]]
    assert np.isnan((row + row).totals).tolist() == np.isnan(row.totals).tolist()
    large = CrossMoments.of_sums(("a",), ("x",), (2,), [(1e150,)], {("x", "x"): (np.inf,)})
    assert np.isnan(large.totals).all()


def test_impossible_rows_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Cauchy"):
        CrossMoments.of_sums(("a",), ("x",), (10,), [(100,)], {("x", "x"): (1,)})
    with pytest.raises(ValueError, match="n must"):
        CrossMoments.of_sums(("a",), ("x",), (-1,), [(0,)], {})
    with pytest.raises(ValueError, match="finite"):
        CrossMoments(("a",), ("x",), np.ones(1), np.array([[np.inf]]), np.ones((1, 1, 1)))
    with pytest.raises(ValueError, match="products name"):
        CrossMoments.of_sums(("a",), ("x",), (1,), [(0,)], {("x", "z"): (1,)})
    with pytest.raises(ValueError, match="names of their own"):
        CrossMoments.empty(("a", "a"), ("x",))
    with pytest.raises(ValueError, match="shapes"):
        CrossMoments.of_sums(("a",), ("x",), (1, 2), [(0,)], {})
    with pytest.raises(ValueError, match="merged"):
        _ = CrossMoments.empty(("a",), ("x",)) + CrossMoments.empty(("a",), ("y",))
    row = CrossMoments.empty(("a",), ("x",))
    for call in (lambda: row.moments("b", "x"), lambda: row.moments("a", "y"), lambda: row.covariance("a", "x", "x")):
        with pytest.raises(ValueError, match=r"unknown|n of at least 2"):
            call()
