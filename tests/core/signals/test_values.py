from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from optimizer.core.signals.values import calibration_slope, expected_worth


def test_values_are_drawn_towards_the_overall_mean() -> None:
    assert expected_worth(0.0, 0.0, 0, 10.0) == (10.0, None)
    assert expected_worth(50 * 30.0, 50 * 900.0, 50, 10.0).expected == 20.0
    with pytest.raises(ValueError, match="units"):
        expected_worth(0.0, 0.0, -1, 10.0)


def test_the_lower_bound_is_below_the_mean_as_often_as_promised() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(1_000):
        worth = rng.lognormal(3.0, 0.5, 600) * (rng.random(600) < 0.3)
        truth = 0.3 * float(np.exp(3.125))
        found = expected_worth(float(worth.sum()), float((worth**2).sum()), 600, truth)
        assert found.lower is not None
        held += found.lower <= truth
    assert held >= 965  # 97.5%, less two and a half standard errors


def test_the_slope_is_that_of_a_weighted_line_with_errors_clustered_by_people() -> None:
    rng = np.random.default_rng(5)
    predicted, units = rng.uniform(1, 9, 6), rng.integers(50, 500, (6, 9)).astype(float)
    units[2, 4] = 0.0
    value = units * (0.2 + 0.9 * predicted[:, None] + rng.normal(0, 1, (1, 9)) + rng.normal(0, 0.3, (6, 9)))
    found = calibration_slope(predicted, value, units)
    assert found is not None
    cell, group = np.nonzero(units)
    line = sm.WLS(
        value[cell, group] / units[cell, group], sm.add_constant(predicted[cell]), weights=units[cell, group]
    ).fit(cov_type="cluster", cov_kwds={"groups": group, "use_correction": False, "df_correction": True}, use_t=True)
    assert found.slope == pytest.approx(line.params[1])
    assert found.standard_error == pytest.approx(line.bse[1] * np.sqrt(9 / 8))
    half = float(stats.t.isf(0.025, 8)) * found.standard_error
    assert found.interval == pytest.approx((found.slope - half, found.slope + half))
    assert found.ratio == pytest.approx(float(value.sum() / (units * predicted[:, None]).sum()))


def test_the_interval_holds_the_slope_though_people_are_in_several_cells() -> None:
    # Each person did three of six events; what they bring depends on nothing but themselves, so the truth is known.
    rng = np.random.default_rng(6)
    predicted = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    held = 0
    for _ in range(300):
        done = rng.random((600, 6)).argsort(1) < 3
        brought = (done * predicted).sum(1) / 3 * rng.exponential(1.0, 600)
        group = np.arange(600) % 24
        value, units = (
            np.array([np.bincount(group, part * who) for who in done.T]) for part in (brought, np.ones(600))
        )
        found = calibration_slope(predicted, value, units)
        assert found is not None
        truth = 0.2  # of three events one is this and two are drawn from the other five: (1/3)(1 - 2/5)
        held += found.interval.lower <= truth <= found.interval.upper
    low, high = stats.binom.interval(0.999, 300, 0.95)
    assert low <= held <= high


@pytest.mark.parametrize(
    ("predicted", "units"), [([1.0, 2.0], [5, 5]), ([1.0, 1.0, 1.0], [5, 5, 5]), ([0.0, 0.0, 0.0], [5, 5, 5])]
)
def test_what_cannot_be_fitted_is_none(predicted: list[float], units: list[int]) -> None:
    people = np.tile(np.array(units, float)[:, None], 4)
    given = np.array(predicted)
    assert calibration_slope(given, given[:, None] * people, people) is None


def test_one_group_of_people_has_no_error() -> None:
    given = np.array([1.0, 2.0, 3.0])
    assert calibration_slope(given, given[:, None], np.ones((3, 1))) is None
    assert calibration_slope(np.empty(0), np.empty((0, 4)), np.empty((0, 4))) is None
