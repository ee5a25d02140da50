from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import Table2x2

from optimizer.core.signals.fourfold import Counts, figures

cells = st.integers(1, 5_000)
VIDEO = Counts(1_000, 120, 9_000, 270)  # 12% of those who watched bought, 3% of the others


def flat(value: Any) -> list[float]:
    if isinstance(value, dict | list | tuple):
        return [n for part in (value.values() if isinstance(value, dict) else value) for n in flat(part)]
    return [value] if isinstance(value, float) else []


@given(cells, cells, cells, cells)
def test_ratios_and_phi_agree_with_statsmodels_and_scipy(a: int, b: int, c: int, d: int) -> None:
    ours = figures(Counts(a + b, a, c + d, c))
    theirs = Table2x2([[a, b], [c, d]])
    assert ours.lift == pytest.approx(theirs.riskratio)
    assert ours.lift_interval == pytest.approx(theirs.riskratio_confint(0.05))
    assert ours.odds_ratio == pytest.approx(theirs.oddsratio)
    assert ours.odds_ratio_interval == pytest.approx(theirs.oddsratio_confint(0.05))
    indicators = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [a, b, c, d], axis=0)
    expected = np.corrcoef(indicators.T)[0, 1]
    assert ours.phi == pytest.approx(expected, abs=1e-9)


@given(cells, cells, cells, cells)
def test_the_p_value_is_scipys(a: int, b: int, c: int, d: int) -> None:
    ours, table = figures(Counts(a + b, a, c + d, c)), np.array([[a, b], [c, d]])
    if ours.test == "pearson_chi2":
        assert ours.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, abs=1e-300)
    else:
        assert ours.p_value == pytest.approx(stats.fisher_exact(table)[1])


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_no_table_makes_a_number_that_is_not_one(a: int, b: int, c: int, d: int) -> None:
    found = figures(Counts(a + b, a, c + d, c))
    assert all(math.isfinite(number) for number in flat(dataclasses.asdict(found)))


def test_the_quoted_example_has_lift_four() -> None:
    found = figures(VIDEO)
    assert found.lift == pytest.approx(4.0)
    assert found.mutual_information_bits == pytest.approx(_entropy_difference(VIDEO))


def _entropy_difference(counts: Counts) -> float:
    converted = counts.converted_with + counts.converted_without
    total = counts.units_with + counts.units_without

    def bits(share: float) -> float:
        return float(stats.entropy([share, 1 - share], base=2))

    conditional = sum(
        units / total * bits(done / units)
        for units, done in (
            (counts.units_with, counts.converted_with),
            (counts.units_without, counts.converted_without),
        )
    )
    return float(bits(converted / total) - conditional)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="converted"):
        Counts(1, 2, 1, 0)
