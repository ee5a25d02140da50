"""Stratified figures are statsmodels' and scipy's where those have them, and right in simulations where not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from optimizer.core.signals.fourfold import Counts, figures
from optimizer.core.signals.strata import (
    Strata,
    association,
    log_odds_ratio,
    log_risk_ratio,
    risk_difference,
    stratified_figures,
)

tables = st.lists(st.tuples(*[st.integers(1, 400)] * 4), min_size=2, max_size=12)
sparse_tables = st.lists(st.tuples(*[st.integers(0, 6)] * 4), min_size=1, max_size=6)


def strata(cells: list[tuple[int, int, int, int]]) -> Strata:
    a, b, c, d = np.array(cells, float).T
    return Strata(a + b, a, c + d, c)


def theirs(cells: list[tuple[int, int, int, int]]) -> StratifiedTable:
    return StratifiedTable([np.array([[a, b], [c, d]]) for a, b, c, d in cells])


@given(tables)
def test_odds_ratio_risk_ratio_and_test_are_statsmodels(cells: list[tuple[int, int, int, int]]) -> None:
    ours, odds, risks = strata(cells), log_odds_ratio(strata(cells)), log_risk_ratio(strata(cells))
    reference = theirs(cells)
    assert odds is not None
    assert risks is not None
    assert math.exp(odds.estimate) == pytest.approx(reference.oddsratio_pooled)
    assert odds.interval() == pytest.approx(reference.oddsratio_pooled_confint())
    assert math.exp(risks.estimate) == pytest.approx(reference.riskratio_pooled)
    found = association(ours)
    assert found is not None
    if found[1] == "cochran_mantel_haenszel":
        assert found[0] == pytest.approx(reference.test_null_odds(correction=False).pvalue, abs=1e-12)


@given(st.tuples(*[st.integers(1, 60)] * 4))
def test_one_stratum_is_the_plain_table(cell: tuple[int, int, int, int]) -> None:
    a, b, c, d = cell
    assert stratified_figures(strata([cell])) == figures(Counts(a + b, a, c + d, c))
    plain, risks = figures(Counts(a + b, a, c + d, c)), log_risk_ratio(strata([cell]))
    assert risks is not None
    assert risks.interval() == pytest.approx(plain.lift_interval)


def test_the_exact_test_is_fishers_for_one_table_and_convolves_more() -> None:
    lone = association(strata([(3, 1, 1, 3)]))
    assert lone is not None
    assert lone[0] == pytest.approx(stats.fisher_exact(np.array([[3, 1], [1, 3]]))[1])
    assert lone[1] == "exact_conditional"
    cells = [(2, 1, 0, 3), (1, 0, 1, 2)]
    pair = association(strata(cells))
    assert pair is not None
    first, second = (stats.hypergeom(a + b + c + d, a + c, a + b) for a, b, c, d in cells)
    joint: dict[int, float] = {}
    for i in range(4):
        for j in range(4):
            joint[i + j] = joint.get(i + j, 0) + float(first.pmf(i) * second.pmf(j))
    assert pair[0] == pytest.approx(sum(p for p in joint.values() if p <= joint[3] * (1 + 1e-7)))


@given(sparse_tables)
def test_no_strata_make_a_number_that_is_not_one(cells: list[tuple[int, int, int, int]]) -> None:
    found = dataclasses.asdict(stratified_figures(strata(cells)))
    numbers = [n for value in found.values() for n in (value if isinstance(value, tuple) else [value])]
    assert all(math.isfinite(n) for n in numbers if isinstance(n, float))


@pytest.mark.parametrize(("lift", "size"), [(1.0, 12), (1.8, 40)])
def test_intervals_cover_in_many_thin_strata(lift: float, size: int) -> None:
    rng = np.random.default_rng(3)
    hits = {"lift": 0, "difference": 0}
    base = rng.uniform(0.02, 0.3, 80)
    with_, without = rng.integers(1, size, (2, 80))
    weight = with_ * without / (with_ + without)
    truth = float((weight * base * (lift - 1)).sum() / weight.sum())
    for _ in range(400):
        drawn = Strata(
            with_.astype(float), rng.binomial(with_, base * lift).astype(float),
            without.astype(float), rng.binomial(without, base).astype(float),
        )  # fmt: skip
        ratio, difference = log_risk_ratio(drawn), risk_difference(drawn)
        assert ratio is not None
        assert difference is not None
        low, high = ratio.interval()
        hits["lift"] += low <= lift <= high
        hits["difference"] += difference[1].lower <= truth <= difference[1].upper
    assert all(372 <= count <= 395 for count in hits.values()), hits  # 95% of 400, ± 3.3 standard errors


def test_collapsing_would_turn_the_sign_and_strata_do_not() -> None:
    # Lift 2 in either stratum; most of those who did it are where little is bought.
    turned = strata([(20, 980, 1, 99), (20, 80, 100, 900)])
    crude = figures(turned.crude()).lift
    within = log_risk_ratio(turned)
    assert crude is not None
    assert within is not None
    assert crude < 1 < math.exp(within.estimate)


def test_impossible_strata_are_refused() -> None:
    one, two = np.ones(1), np.full(1, 2.0)
    with pytest.raises(ValueError, match="exceed"):
        Strata(one, two, one, one)
    with pytest.raises(ValueError, match="negative"):
        Strata(one, -one, one, one)
    with pytest.raises(ValueError, match="length"):
        Strata(np.ones(2), one, one, one)
