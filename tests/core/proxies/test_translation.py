from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optimizer.core.proxies.translation import (
    Translation,
    average_power,
    highest_power,
    proxy_effect_of,
    standard_error_for,
)


def test_dividing_by_the_slope_understates_the_visitors_sixteen_times_at_one_half() -> None:
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    found = proxy_effect_of(covariance, 0.2)
    assert found is not None
    assert found.expected == pytest.approx(0.1)
    assert found.scatter == pytest.approx(0.75)
    wrong = 0.2 / (covariance[0, 1] / covariance[0, 0])
    assert (wrong / found.expected) ** 2 == pytest.approx(16.0)


def test_power_is_averaged_over_the_scatter() -> None:
    found = Translation(0.3, 0.02)
    rng = np.random.default_rng(1)
    measured = rng.normal(0.3, math.sqrt(0.02), 400_000) + rng.normal(0, 0.1, 400_000)
    assert average_power(found, 0.1, 1.96) == pytest.approx((measured / 0.1 > 1.96).mean(), abs=3e-3)
    assert average_power(Translation(-0.3, 0.02), 0.1, 1.96) == average_power(found, 0.1, 1.96)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.9])
def test_the_size_found_has_the_power(power: float) -> None:
    error = standard_error_for(Translation(0.3, 0.02), 1.96, power)
    assert error is not None
    assert average_power(Translation(0.3, 0.02), error, 1.96) == pytest.approx(power)


def test_without_scatter_it_is_the_usual_size() -> None:
    error = standard_error_for(Translation(0.3, 0.0), 1.96, 0.8)
    assert error == pytest.approx(0.3 / (1.96 + stats.norm.ppf(0.8)))


def test_where_the_scatter_is_wide_no_size_has_the_power() -> None:
    wide = Translation(0.1, 0.75)
    assert standard_error_for(wide, 1.96, 0.8) is None
    assert highest_power(wide) == pytest.approx(stats.norm.cdf(0.1 / math.sqrt(0.75)))
    assert highest_power(Translation(0.1, 0.0)) == 1.0
    assert average_power(wide, 1e-9, 1.96) == pytest.approx(highest_power(wide), abs=1e-6)


def test_nothing_translates_from_a_goal_that_does_not_vary() -> None:
    assert proxy_effect_of(np.diag([1.0, 0.0]), 0.1) is None
    for arguments in ((0.0, 0.8), (1.96, 0.4), (1.96, 1.0)):
        with pytest.raises(ValueError, match="must"):
            standard_error_for(Translation(0.1, 0.0), *arguments)
    with pytest.raises(ValueError, match="standard_error"):
        average_power(Translation(0.1, 0.0), 0.0, 1.96)
