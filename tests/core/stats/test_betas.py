"""Beta posteriors against scipy's distribution functions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from optimizer.core.stats.betas import BELL, REACH, Betas, lay_out

parameters = st.floats(1.0, 1e6)
bell_shaped = st.floats(BELL, 1e9)


def posterior(yes: float, no: float) -> Betas:
    return Betas.of(np.array([yes]), np.array([no]))


@given(parameters, parameters)
def test_next_to_no_mass_is_outside_of_the_ends(yes: float, no: float) -> None:
    found = posterior(yes, no)
    assert special.betainc(yes, no, special.expit(found.low[0])) < 10 * REACH
    assert special.betainc(no, yes, special.expit(-found.high[0])) < 10 * REACH


@given(bell_shaped, bell_shaped, st.floats(-12, 12))
def test_the_distribution_of_a_bell_is_what_scipy_says(yes: float, no: float, z: float) -> None:
    spread = stats.beta(yes, no)
    rate = np.clip(spread.mean() + z * spread.std(), 0.0, 1.0)
    assert abs(posterior(yes, no).below(np.array([[rate]]))[0, 0] - spread.cdf(rate)) < 1e-7


@given(parameters, parameters)
def test_beyond_its_range_a_rate_has_all_mass_on_one_side(yes: float, no: float) -> None:
    below = posterior(yes, no).below(np.array([[0.0, 1.0]]))[0]
    np.testing.assert_allclose(below, [0.0, 1.0], atol=10 * REACH)


@given(st.lists(st.tuples(parameters, parameters), min_size=2, max_size=9), st.data())
def test_rows_do_not_touch_each_other(rows: list[tuple[float, float]], data: st.DataObject) -> None:
    yes, no = np.array(rows).T
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    mixed, rate = Betas.of(yes, no).where(chosen, Betas.of(no, yes)), np.array([[0.2, 0.5]])
    alone = [posterior(*(row if own else row[::-1])).below(rate)[0] for row, own in zip(rows, chosen, strict=True)]
    np.testing.assert_allclose(mixed.below(np.repeat(rate, len(rows), 0)), alone, atol=1e-12)


@given(parameters, parameters, bell_shaped, bell_shaped)
def test_points_have_the_moments_of_their_posterior(yes: float, no: float, other: float, another: float) -> None:
    laid, exact = lay_out(posterior(yes, no), posterior(other, another)), stats.beta(yes, no)
    mean = (laid.mass * laid.rate).sum()
    assert abs(mean - exact.mean()) < 1e-5 * exact.std()
    assert abs((laid.mass * (laid.rate - mean) ** 2).sum() / exact.var() - 1) < 1e-4
