from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.signals.bounds import bound_lift

cells = st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=1, max_size=8)


@given(cells)
def test_the_truth_lies_between_whatever_it_is(tables: list[tuple[int, int, int, int]]) -> None:
    both, only_event, only_goal, neither = np.array(tables, float).T
    visitors, did, converted = both + only_event + only_goal + neither, both + only_event, both + only_goal
    found = bound_lift(visitors, did, converted)
    if found is None:
        assert did.sum() in {0, visitors.sum()} or converted.sum() == 0
        return
    with_, without = both.sum() / did.sum(), only_goal.sum() / (visitors - did).sum()
    assert found.rate_with[0] - 1e-12 <= with_ <= found.rate_with[1] + 1e-12
    assert found.rate_without[0] - 1e-12 <= without <= found.rate_without[1] + 1e-12
    if without > 0:
        assert found.lift[0] - 1e-12 <= with_ / without
        assert found.lift[1] is None or with_ / without <= found.lift[1] + 1e-12


def test_finer_cuts_give_tighter_bounds() -> None:
    # By source the event and the goal never meet; over both sources together they might.
    fine = bound_lift(np.array([100.0, 100.0]), np.array([90.0, 0.0]), np.array([0.0, 50.0]))
    coarse = bound_lift(np.array([200.0]), np.array([90.0]), np.array([50.0]))
    assert fine is not None
    assert coarse is not None
    assert fine.lift == (0.0, 0.0)
    assert coarse.lift == (0.0, None)


def test_impossible_totals_are_refused() -> None:
    with pytest.raises(ValueError, match="visitors"):
        bound_lift(np.array([5.0]), np.array([6.0]), np.array([1.0]))
