"""Scaling up to those who denied consent: against the textbook, and by simulation with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.consent import Modelled, Stratum, model_strata, model_stratum


def stratum(visits: np.ndarray, conversions: np.ndarray, denied_visits: float) -> Stratum:
    return Stratum(
        len(visits),
        float(visits.sum()),
        float((visits**2).sum()),
        float(conversions.sum()),
        float((conversions**2).sum()),
        float((visits * conversions).sum()),
        denied_visits,
    )


def test_one_visit_each_is_the_textbook_prediction_interval_of_a_proportion() -> None:
    # 600 of 1 000 consented, 60 bought: 400 others at 10% are 40, as tag managers' documentation does the sum.
    visits, bought = np.ones(600), np.repeat([1.0, 0.0], [60, 540])
    found = model_stratum(stratum(visits, bought, 400))
    p = 0.1
    sample_variance = p * (1 - p) * 600 / 599
    assert found.conversions == pytest.approx(40)
    assert found.variance == pytest.approx(400 * sample_variance + 400**2 * sample_variance / 600)
    assert found.interval.lower < 40 < found.interval.upper


@pytest.mark.parametrize(("rate", "units", "denied"), [(0.02, 3_000, 2_000), (0.3, 400, 250), (0.05, 400, 900)])
def test_the_interval_covers_what_the_others_really_did(rate: float, units: int, denied: int) -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(600):
        visits = 1.0 + rng.poisson(1.5, units + denied)
        keen = rng.gamma(2.0, 0.5, units + denied)  # some convert more than others: visits are not independent
        bought = rng.poisson(rate * keen * visits).astype(float)
        known = stratum(visits[:units], bought[:units], float(visits[units:].sum()))
        found = model_stratum(known)
        covered += found.interval.lower <= bought[units:].sum() <= found.interval.upper
    assert 0.93 <= covered / 600 <= 0.975


def test_strata_matter_where_those_who_deny_come_from_elsewhere() -> None:
    # Paid visitors buy at 20% and mostly consent, social ones at 2% and mostly deny: one rate for all is far off.
    paid = stratum(np.ones(900), np.repeat([1.0, 0.0], [180, 720]), 100)
    social = stratum(np.ones(100), np.repeat([1.0, 0.0], [2, 98]), 900)
    total, [of_paid, of_social] = model_strata([paid, social])
    assert (of_paid.conversions, of_social.conversions) == pytest.approx((20, 18))
    assert total.conversions == pytest.approx(38)
    assert total.variance == pytest.approx(of_paid.variance + of_social.variance)
    assert model_stratum(paid + social).conversions == pytest.approx(182)


def test_a_stratum_without_conversions_is_uncertain_not_impossible() -> None:
    found = model_stratum(stratum(np.ones(100), np.zeros(100), 100))
    assert found.conversions == 0
    assert found.interval.lower == 0
    assert 1 < found.interval.upper < 5


def test_strata_too_small_for_a_rate_of_their_own_share_one() -> None:
    large = stratum(np.ones(900), np.repeat([1.0, 0.0], [180, 720]), 100)
    small = [stratum(np.ones(30), np.repeat([1.0, 0.0], [3, 27]), 30) for _ in range(2)]
    lone = stratum(np.ones(5), np.zeros(5), 5)
    total, parts = model_strata([large, *small])
    assert [part.conversions for part in parts] == pytest.approx([20, 3, 3])
    shared = model_stratum(small[0] + small[1])
    assert total.variance == pytest.approx(parts[0].variance + shared.variance)  # one rate, one error
    _, [_, of_lone] = model_strata([large, lone])
    assert of_lone.conversions == pytest.approx(5 * 180 / 905)  # nothing of its kind to share with: everybody's rate


def test_nobody_denied_is_exactly_nothing() -> None:
    assert model_stratum(stratum(np.ones(100), np.ones(100), 0)) == Modelled(0.0, 0.0, (0.0, 0.0))  # type: ignore[arg-type]


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Stratum(1, 1, 1, 1, 1, 1, -1)
    with pytest.raises(ValueError, match="consented"):
        model_stratum(Stratum(0, 0, 0, 0, 0, 0, 5))


@given(
    st.integers(1, 10**7),
    st.integers(0, 50),
    st.integers(0, 10**9),
    st.integers(1, 20),
)
def test_every_figure_is_a_number(units: int, rate: int, denied: int, visits: int) -> None:
    total = float(units * visits)
    conversions = float(rate * units // 3)
    found = model_stratum(
        Stratum(units, total, total * visits, conversions, conversions * max(rate, 1), conversions * visits, denied)
    )
    assert all(math.isfinite(x) for x in (found.conversions, found.variance, *found.interval))
    assert 0 <= found.interval.lower <= found.interval.upper
