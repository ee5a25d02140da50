"""Fixed-horizon inference against statsmodels and scipy, and the reference numbers of the statistics page."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.stats.proportion import test_proportions_2indep as proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from optimizer.core.stats.means import compare_means
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.proportions import compare_proportions, newcombe_interval, wilson_interval
from optimizer.core.stats.ratios import Sampled, delta_lift, relative_lift

Z = 1.959963984540054


@st.composite
def arms(draw: st.DrawFn) -> tuple[Moments, Moments]:
    made = []
    for _ in range(2):
        visitors = draw(st.integers(40, 50_000))
        made.append(Moments.of_conversions(visitors, draw(st.integers(10, visitors - 10))))
    return made[0], made[1]


@given(arms(), st.floats(0.001, 0.2))
def test_proportions_agree_with_statsmodels_unpooled(pair: tuple[Moments, Moments], alpha: float) -> None:
    control, treatment = pair
    ours = compare_proportions(control, treatment, alpha)
    counts = (treatment.total, treatment.n, control.total, control.n)
    theirs = proportions_2indep(*counts, method="wald", compare="diff", return_results=True)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-300)
    assert ours.interval == pytest.approx(
        confint_proportions_2indep(*counts, method="wald", compare="diff", alpha=alpha), rel=1e-9, abs=1e-12
    )


@given(arms(), st.floats(0.001, 0.2))
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(
    pair: tuple[Moments, Moments], alpha: float
) -> None:
    ours = compare_proportions(*pair, alpha)
    assume(abs(ours.p_value - alpha) > 1e-9)
    assert (ours.p_value < alpha) == (ours.interval.lower > 0 or ours.interval.upper < 0)


@given(arms())
def test_swapping_the_arms_turns_the_sign(pair: tuple[Moments, Moments]) -> None:
    forth, back = compare_proportions(pair[0], pair[1], 0.05), compare_proportions(pair[1], pair[0], 0.05)
    assert forth.estimate == -back.estimate
    assert forth.interval == pytest.approx((-back.interval.upper, -back.interval.lower))


def test_hillstrom_mens_mail_against_none() -> None:
    none, mens = Moments.of_conversions(21_306, 2_262), Moments.of_conversions(21_307, 3_894)
    visit = compare_proportions(none, mens, 0.05)
    assert (visit.estimate, *visit.interval) == pytest.approx((0.076590, 0.069954, 0.083226), abs=5e-7)
    none, mens = Moments.of_conversions(21_306, 122), Moments.of_conversions(21_307, 267)
    conversion = compare_proportions(none, mens, 0.05)
    assert (conversion.estimate, *conversion.interval) == pytest.approx((0.006805, 0.005000, 0.008610), abs=5e-7)


def test_small_cells_are_tested_exactly_and_say_so() -> None:
    control, treatment = Moments.of_conversions(30, 3), Moments.of_conversions(32, 11)
    ours = compare_proportions(control, treatment, 0.05)
    assert ours.method == "boschloo+newcombe"
    assert ours.p_value == pytest.approx(stats.boschloo_exact([[11, 3], [21, 27]]).pvalue, rel=1e-4)
    large = compare_proportions(Moments.of_conversions(20_000, 5), Moments.of_conversions(20_000, 16), 0.05)
    assert large.method == "fisher+newcombe"
    assert large.p_value == pytest.approx(2 * stats.hypergeom.sf(15, 40_000, 21, 20_000))


@given(st.integers(1, 10_000), st.floats(0.001, 0.3), st.data())
def test_wilson_and_newcombe_agree_with_statsmodels(visitors: int, alpha: float, data: st.DataObject) -> None:
    conversions = data.draw(st.integers(0, visitors))
    theirs = proportion_confint(conversions, visitors, alpha, "wilson")
    assert wilson_interval(conversions, visitors, alpha) == pytest.approx(theirs, abs=1e-9)
    control, treatment = Moments.of_conversions(50, 7), Moments.of_conversions(visitors, conversions)
    theirs = confint_proportions_2indep(conversions, visitors, 7, 50, method="newcomb", compare="diff", alpha=alpha)
    assert newcombe_interval(control, treatment, alpha) == pytest.approx(theirs, abs=1e-9)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=50),
    st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=50),
    st.floats(0.001, 0.2),
)
def test_means_agree_with_statsmodels_welch(a: list[float], b: list[float], alpha: float) -> None:
    assume(np.std(a) > 1e-3 and np.std(b) > 1e-3)
    ours = compare_means(_moments(a), _moments(b), alpha)
    theirs = CompareMeans(DescrStatsW(b), DescrStatsW(a))
    assert ours.p_value == pytest.approx(theirs.ttest_ind(usevar="unequal")[1], rel=1e-3, abs=1e-9)
    interval = theirs.tconfint_diff(alpha, usevar="unequal")
    assert ours.interval == pytest.approx(interval, rel=1e-4, abs=1e-4 * float(1 + np.std(a) + np.std(b)))


def test_relative_lift_reference_numbers() -> None:
    sampling = (Sampled(0.4, 0.24 / 100), Sampled(0.5, 0.25 / 100))
    delta, fieller = delta_lift(*sampling, Z), relative_lift(*sampling, Z)
    assert delta is not None
    assert fieller is not None
    assert delta.interval == pytest.approx((-0.1374, 0.6374), abs=5e-5)
    assert fieller.interval == pytest.approx((-0.0799, 0.7327), abs=5e-5)
    assert fieller.method == "fieller"


def test_an_unknown_control_mean_falls_back_to_delta_and_zero_gives_nothing() -> None:
    wide = relative_lift(Sampled(0.01, 0.01), Sampled(0.5, 0.01), Z)
    assert wide is not None
    assert wide.method == "delta"
    assert relative_lift(Sampled(-0.2, 0.01), Sampled(0.5, 0.01), Z) is None
    assert relative_lift(Sampled(0.0, 0.01), Sampled(0.5, 0.01), Z) is None


def _moments(values: list[float]) -> Moments:
    return Moments(len(values), sum(values), sum(value**2 for value in values))
