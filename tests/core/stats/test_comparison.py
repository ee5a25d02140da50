from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.stats.comparison import Arm, Design, compare
from optimizer.core.stats.moments import Moments

FIXED = Design("fixed", 0.05, None)
SEQUENTIAL = Design("sequential", 0.05, 20_000)


def rate(visitors: int, conversions: int, weight: float = 1.0) -> Arm:
    return Arm(Moments.of_conversions(visitors, conversions), weight)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list | tuple):
        return [n for part in (value.values() if isinstance(value, dict) else value) for n in numbers(part)]
    return [value] if isinstance(value, float) else []


def test_the_sequential_interval_is_wider_than_the_fixed_one() -> None:
    arms = {"control": rate(4000, 1200), "treatment": rate(4000, 1320)}
    [fixed], [sequential] = compare(arms, "control", FIXED), compare(arms, "control", SEQUENTIAL)
    assert fixed.significant
    assert fixed.absolute_interval is not None
    assert sequential.absolute_interval is not None
    assert sequential.absolute_interval.lower < fixed.absolute_interval.lower
    assert sequential.relative_interval is not None
    assert sequential.method == "asymptotic_confidence_sequence, fieller"


def test_intervals_over_several_arms_agree_with_their_adjusted_p_values() -> None:
    arms = {"a": rate(4000, 400), "b": rate(4000, 460), "c": rate(4000, 455), "d": rate(4000, 470)}
    for design in (FIXED, SEQUENTIAL):
        for found in compare(arms, "a", design):
            assert found.adjusted_p_value is not None
            assert found.absolute_interval is not None
            assert found.adjusted_p_value >= (found.p_value or 0)
            assert found.significant == (found.absolute_interval.lower > 0)


@pytest.mark.parametrize(
    ("arms", "design", "status"),
    [
        ({"a": rate(100, 10), "b": rate(0, 0)}, FIXED, "empty"),
        ({"a": rate(100, 10), "b": rate(5, 1, weight=0)}, FIXED, "zero_weight"),
        ({"a": rate(100, 100), "b": rate(100, 100)}, FIXED, "no_variance"),
        ({"a": rate(100, 0), "b": rate(100, 0)}, SEQUENTIAL, "no_variance"),
        ({"a": rate(100, 10), "b": rate(100, 12)}, SEQUENTIAL, "too_early"),
        ({"a": rate(400, 40), "b": rate(400, 60)}, Design("fixed", 0.05, 8000), "not_final"),
        (
            {"a": Arm(Moments(9, 9.0, None)), "b": Arm(Moments(9, 9.0, None))},
            Design("fixed", 0.05, None, "mean"),
            "no_sum_of_squares",
        ),
        (
            {"a": Arm(Moments(1, 9.0, 81.0)), "b": Arm(Moments(9, 9.0, 19.0))},
            Design("fixed", 0.05, None, "mean"),
            "no_variance",
        ),
        (
            {"a": Arm(Moments(500, 90.0, 81.0), 1, 90), "b": Arm(Moments(500, 9.0, 19.0), 1, 101)},
            Design("sequential", 0.05, None, "mean"),
            "too_early",
        ),
    ],
)
def test_what_cannot_be_judged_has_a_status_and_no_verdict(arms: dict[str, Arm], design: Design, status: str) -> None:
    [found] = compare(arms, "a", design)
    assert found.status == status
    assert found.detail
    assert not found.significant


weights = st.sampled_from([0.0, 5e-324, 1e-9, 1.0, 1e9])
sizes = st.one_of(st.integers(0, 300), st.sampled_from([10**6, 2**53]))
designs = st.builds(
    Design,
    st.sampled_from(["fixed", "sequential", "group_sequential", "bayesian"]),
    st.sampled_from([0.05, 5e-324, 1e-16, 0.9999999999999999]),
    st.sampled_from([None, 1, 5_000, 2**53]),
)


def all_numbers(arms: dict[str, Arm], design: Design) -> bool:
    return all(math.isfinite(x) for found in compare(arms, "0", design) for x in numbers(dataclasses.asdict(found)))


@given(st.lists(st.tuples(sizes, st.floats(0, 1), weights), min_size=2, max_size=4), designs)
def test_no_counts_make_a_number_that_is_not_one(drawn: list[tuple[int, float, float]], design: Design) -> None:
    arms = {str(i): rate(n, min(n, round(n * share)), weight) for i, (n, share, weight) in enumerate(drawn)}
    assert all_numbers(arms, design)


@given(
    st.lists(
        st.tuples(
            sizes,
            st.sampled_from([0.0, 1e-300, 1e-12, -3.0, 1.0, 1e15]),
            st.sampled_from([None, 0.0, 5e-324, 1e-300, 1.0, 1e30]),
            weights,
        ),
        min_size=2,
        max_size=3,
    ),
    designs,
)
def test_no_sums_make_a_number_that_is_not_one(
    drawn: list[tuple[int, float, float | None, float]], design: Design
) -> None:
    arms = {}
    for place, (n, amount, spread, weight) in enumerate(drawn):
        total = amount if n else 0.0
        squares = None if spread is None else spread + (total * total / n if n else 0.0)
        arms[str(place)] = Arm(Moments(n, total, squares), weight)
    assert all_numbers(arms, dataclasses.replace(design, family="mean"))


@pytest.mark.parametrize(
    ("arms", "missing"),
    [
        ({"a": rate(1000, 20), "b": rate(1000, 20)}, 5),
        ({"a": rate(1000, 980), "b": rate(1000, 980)}, 5),
        ({"a": rate(2000, 40), "b": rate(2000, 40)}, 0),
        ({"a": rate(9000, 180), "b": rate(1000, 20)}, 5),
    ],
)
def test_the_gate_counts_what_the_smaller_arm_is_missing(arms: dict[str, Arm], missing: int) -> None:
    [found] = compare(arms, "a", SEQUENTIAL)
    assert (found.missing, found.status == "ok") == (missing, missing == 0)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="baseline"):
        compare({"a": rate(1, 1)}, "b", FIXED)
    with pytest.raises(ValueError, match="alpha"):
        compare({"a": rate(1, 1)}, "a", Design("fixed", 1.5, None))
