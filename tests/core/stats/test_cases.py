"""Comparisons of any family and method in one call: covariates beside the plain figures, statuses, one adjustment."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.stats.comparison import Case, Comparison, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import holm

COLUMNS = ("revenue", "before", "bought", "visits")
EQUAL = {"a": 1.0, "b": 1.0}
MEAN = Measure("mean", "revenue", converters="bought")
ADJUSTED = replace(MEAN, covariates=("before",))


def shop(seed: int = 1, size: int = 4_000, lift: float = 0.0) -> CrossMoments:
    rng = np.random.default_rng(seed)
    return CrossMoments.of_units(
        COLUMNS, {name: units(rng, size, extra) for name, extra in (("a", 0.0), ("b", lift))}
    )


def units(rng: np.random.Generator, size: int, extra: float) -> np.ndarray:
    before = rng.gamma(2.0, 10.0, size)
    revenue = before + extra + rng.normal(0, 6, size)
    bought = (rng.random(size) < 0.2).astype(float)
    return np.column_stack([revenue, before, bought, 1 + rng.poisson(2, size)])


def case(row: CrossMoments, measure: Measure, method: str = "fixed", planned: float | None = None) -> Case:
    return Case(row, measure, Design(method, 0.05, planned), EQUAL)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["fixed", "sequential", "group_sequential", "bayesian"])
def test_both_figures_stand_side_by_side(method: str) -> None:
    row = shop(lift=0.8)
    planned = None if method == "fixed" else 8_000
    [[adjusted]] = compare_cases([case(row, ADJUSTED, method, planned)], "a", holm)
    [[plain]] = compare_cases([case(row, MEAN, method, planned)], "a", holm)
    assert adjusted.covariate == "adjusted"
    assert adjusted.unadjusted is not None
    assert adjusted.unadjusted.absolute == plain.absolute
    assert adjusted.unadjusted.absolute_interval == plain.absolute_interval
    assert adjusted.unadjusted.relative_interval == plain.relative_interval
    assert plain.unadjusted is None
    assert adjusted.variance_reduction == pytest.approx(200 / 236, abs=0.05)
    assert adjusted.standard_error is not None
    assert adjusted.standard_error < 0.5 * (plain.standard_error or 0)
    assert adjusted.significant
    assert (adjusted.p_value is None) == (method == "bayesian")
    assert (adjusted.chance_to_win is None) == (method != "bayesian")


def test_bayesian_figures_come_with_what_they_do_not_promise() -> None:
    [[found]] = compare_cases([case(shop(), Measure("proportion", "bought"), "bayesian")], "a", holm)
    assert "no guarantee" in found.detail
    assert found.method == "beta_binomial, credible"
    assert found.expected_loss is not None
    assert found.baseline_loss is not None
    assert found.baseline_loss - found.expected_loss == pytest.approx(found.absolute, abs=1e-9)


def test_a_constant_covariate_leaves_the_plain_figures_and_a_sentence() -> None:
    row = shop()
    totals, products = row.totals.copy(), row.products.copy()
    totals[:, 1], products[:, 1, :], products[:, :, 1] = 3 * row.n, 3 * row.totals, 3 * row.totals
    products[:, 1, 1] = 9 * row.n
    constant = CrossMoments(row.arms, row.columns, row.n, totals, products)
    [[found]] = compare_cases([case(constant, ADJUSTED)], "a", holm)
    [[plain]] = compare_cases([case(row, MEAN)], "a", holm)
    assert (found.covariate, found.absolute, found.unadjusted) == ("constant_covariate", plain.absolute, None)
    assert "same for every unit" in found.detail


def test_a_covariate_that_is_the_metric_itself_is_not_used() -> None:
    measure = Measure("mean", "revenue", covariates=("revenue", "before"))
    [[found]] = compare_cases([case(shop(), measure)], "a", holm)
    assert found.covariate == "explains_all"
    assert "before exposure" in found.detail


@pytest.mark.parametrize(
    ("known", "measure", "status"),
    [
        ({("revenue", "revenue"): [5e6, 5e6]}, Measure("ratio", "revenue", "visits"), "no_cross_products"),
        ({}, MEAN, "no_sum_of_squares"),
    ],
)
def test_what_counts_cannot_identify_is_refused_by_name(
    known: dict[tuple[str, str], list[float]], measure: Measure, status: str
) -> None:
    row = shop()
    thin = CrossMoments.of_sums(row.arms, row.columns, row.n, row.totals, known)
    [[found]] = compare_cases([case(thin, measure)], "a", holm)
    assert (found.status, found.absolute) == (status, None)


def test_a_denominator_of_zero_and_a_missing_plan_have_a_status() -> None:
    row = CrossMoments.of_units(("x", "d"), {"a": [[1, 1], [2, 1], [0, 1]], "b": [[1, 0], [2, 0], [3, 0]]})
    [[found]] = compare_cases([case(row, Measure("ratio", "x", "d"))], "a", holm)
    assert found.status == "no_denominator"
    [[found]] = compare_cases([case(shop(), MEAN, "group_sequential")], "a", holm)
    assert found.status == "no_plan"


MEASURES = (
    MEAN,
    ADJUSTED,
    Measure("proportion", "bought"),
    Measure("proportion", "bought", covariates=("before",)),
    Measure("mean", "revenue", covariates=("before", "visits")),
    Measure("mean", "visits", covariates=("constant",)),
    Measure("mean", "constant"),
    Measure("ratio", "revenue", "visits"),
    Measure("ratio", "revenue", "visits", covariates=("before", "visits")),
    Measure("mean", "revenue", covariates=("before", "constant")),
)
ROWS = [
    CrossMoments.of_units(
        (*COLUMNS, "constant"),
        {
            name: np.column_stack([units(np.random.default_rng(size), size, 0.5), np.ones(size)])
            for name, size in zip("abc", sizes, strict=True)
        },
    )
    for sizes in [(900, 800, 700), (60, 70, 1), (500, 0, 400), (3, 2, 1)]
]


@given(
    st.lists(st.tuples(st.sampled_from(ROWS), st.sampled_from(MEASURES)), min_size=1, max_size=8),
    st.sampled_from(["fixed", "sequential", "group_sequential", "bayesian"]),
)
def test_metrics_in_one_call_are_what_each_is_alone_before_adjusting(
    wanted: list[tuple[CrossMoments, Measure]], method: str
) -> None:
    weights = {"a": 1.0, "b": 1.0, "c": 2.0}
    cases = [Case(row, measure, Design(method, 0.05, 2_000), weights) for row, measure in wanted]  # type: ignore[arg-type]
    together = compare_cases(cases, "a", list)
    for one, found in zip(cases, together, strict=True):
        [alone] = compare_cases([one], "a", list)
        assert [flat(comparison) for comparison in found] == [
            pytest.approx(flat(comparison), rel=1e-9) for comparison in alone
        ]


def flat(comparison: Comparison) -> dict[str, Any]:
    """Lay out a comparison's fields one beside the other, ends of intervals and plain figures too."""
    fields, found = [("", asdict(comparison))], dict[str, Any]()
    for name, value in fields:
        if isinstance(value, dict):
            fields += [(f"{name}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, tuple):
            fields += [(f"{name}.{place}", inner) for place, inner in enumerate(value)]
        else:
            found[name] = value
    return found


def test_a_group_sequential_look_spends_little_early() -> None:
    row, early = shop(lift=0.4), Design("group_sequential", 0.05, 80_000, looks=(0.05, 0.1))
    [[first]] = compare_cases([Case(row, ADJUSTED, early, EQUAL)], "a", holm)
    [[last]] = compare_cases([Case(row, ADJUSTED, replace(early, looks=(0.5, 1.0)), EQUAL)], "a", holm)
    assert first.p_value is not None
    assert last.p_value is not None
    assert first.p_value > last.p_value
    assert first.method == "group_sequential_obrien_fleming, fieller"


def test_designs_of_two_kinds_are_not_adjusted_together() -> None:
    with pytest.raises(ValueError, match="designs"):
        compare_cases([case(shop(), MEAN), case(shop(), MEAN, "bayesian")], "a", holm)
    assert compare_cases([], "a", holm) == []


def test_small_cells_have_a_relative_interval_that_agrees_with_the_absolute_one() -> None:
    for yes in range(1, 30):
        row = CrossMoments.of_sums("ab", ["x"], [60, 90], [[5], [yes]], {("x", "x"): [5, yes]})
        [[found]] = compare_cases([case(row, Measure("proportion", "x"))], "a", holm)
        assert found.absolute_interval is not None
        assert found.relative_interval is not None
        assert found.relative is not None
        assert found.relative_interval[0] <= found.relative <= found.relative_interval[1]
        for side in (0, 1):
            assert (found.absolute_interval[side] > 0) == (found.relative_interval[side] > 0)
        assert found.method is not None
        assert found.method.endswith("+newcombe, score")


def test_an_empty_arm_leaves_the_others_as_they_are() -> None:
    row, measure = shop(), Measure("ratio", "revenue", "visits", covariates=("before",))
    wider = CrossMoments(
        ("a", "b", "c"),
        row.columns,
        np.append(row.n, 0),
        np.concatenate([row.totals, np.zeros((1, 4))]),
        np.concatenate([row.products, np.zeros((1, 4, 4))]),
    )
    found, empty = compare_cases([case(wider, measure)], "a", holm)[0]
    [[alone]] = compare_cases([case(row, measure)], "a", holm)
    assert empty.status == "empty"
    assert (found.absolute, found.p_value, found.unadjusted) == (alone.absolute, alone.p_value, alone.unadjusted)


def test_an_arm_of_one_value_may_be_compared_with_one_that_varies() -> None:
    rng = np.random.default_rng(3)
    units = {"a": np.full((3_000, 1), 19.99), "b": rng.normal(20.5, 4, (3_000, 1))}
    for method in ("fixed", "sequential", "bayesian"):
        row = CrossMoments.of_units(["price"], units)
        [[found]] = compare_cases([case(row, Measure("mean", "price"), method)], "a", holm)
        assert found.significant
        assert found.standard_error == pytest.approx(4 / 3_000**0.5, rel=0.05)
