"""A share of a value, at most so much: increments add up to the best of a person's events and are never negative."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.terms import Terms, told_of
from optimizer.core.value import Cell, Ladder

terms = st.builds(
    Terms, st.floats(0.01, 1), st.none() | st.floats(0.01, 1_000, allow_nan=False, allow_infinity=False)
)


def test_the_margin_comes_before_the_cap() -> None:
    assert Terms().told(40.0) == 40.0
    assert Terms(margin=0.25).told(40.0) == 10.0
    assert Terms(margin=0.25, maximum=8.0).told(40.0) == 8.0
    assert Terms(margin=0.25, maximum=12.0).told(40.0) == 10.0
    assert Terms(maximum=8.0).told(0.0) == 0.0


@pytest.mark.parametrize(("margin", "maximum", "named"), [
    (0.0, None, "margin"), (1.01, None, "margin"), (float("nan"), None, "margin"), (-0.5, None, "margin"),
    (1.0, 0.0, "maximum"), (1.0, -1.0, "maximum"), (1.0, float("nan"), "maximum"),
])  # fmt: skip
def test_what_is_no_margin_and_no_cap_is_refused(margin: float, maximum: float | None, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Terms(margin, maximum)


@given(st.lists(st.floats(0, 500), min_size=3, max_size=3), st.lists(terms, min_size=3, max_size=3),
       st.permutations(range(3)))  # fmt: skip
def test_increments_in_any_order_add_up_to_what_is_told_of_a_person(
    values: list[float], given_terms: list[Terms], order: list[int]
) -> None:
    ladder = Ladder((0, 1, 2), tuple(sorted(values)), {})
    told, increments = 0.0, []
    for place in order:
        increments.append(max(0.0, given_terms[place].told(ladder.value(place, "x")) - told))
        told += increments[-1]
    assert min(increments) >= 0
    assert told == pytest.approx(told_of(ladder, given_terms, Cell(0, "x", frozenset(order), 1, 0.0, 0.0)))
    caps = [one.maximum for one in given_terms]
    assert all(
        cap is None or step <= cap for step, cap in zip(increments, [caps[place] for place in order], strict=True)
    )


def test_one_margin_for_all_scales_the_sum() -> None:
    ladder = Ladder((0, 1), (10.0, 50.0), {"paid": (20.0, 60.0)})
    people = [Cell(0, "free", frozenset({0}), 3, 0.0, 0.0), Cell(0, "paid", frozenset({0, 1}), 2, 0.0, 0.0)]
    told = sum(cell.units * told_of(ladder, [Terms(0.4)] * 2, cell) for cell in people)
    assert told == pytest.approx(0.4 * (3 * 10 + 2 * 60))
