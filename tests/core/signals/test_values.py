from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

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


def test_the_slope_is_that_of_a_weighted_line() -> None:
    rng = np.random.default_rng(5)
    predicted, units = rng.uniform(1, 9, 30), rng.integers(50, 500, 30).astype(float)
    observed = 0.2 + 0.9 * predicted + rng.normal(0, 1, 30) / np.sqrt(units)
    found = calibration_slope(predicted, observed, units)
    line = sm.WLS(observed, sm.add_constant(predicted), weights=units).fit()
    assert found is not None
    assert found.slope == pytest.approx(line.params[1])
    assert found.standard_error == pytest.approx(line.bse[1])
    assert found.ratio == pytest.approx(float((units * observed).sum() / (units * predicted).sum()))


@pytest.mark.parametrize(
    ("predicted", "units"), [([1.0, 2.0], [5, 5]), ([1.0, 1.0, 1.0], [5, 5, 5]), ([0.0, 0.0, 0.0], [5, 5, 5])]
)
def test_what_cannot_be_fitted_is_none(predicted: list[float], units: list[int]) -> None:
    given = np.array(predicted)
    assert calibration_slope(given, given, np.array(units, float)) is None
