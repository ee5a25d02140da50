from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from optimizer.core.proxies.normal import (
    Pair,
    chance_above,
    chance_positive_after,
    mean_gain_after,
    mean_positive_part,
)

real = st.floats(-2, 2)


@given(st.tuples(real, real), st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)), st.floats(-0.95, 0.95), real)
def test_the_chance_after_a_threshold_is_scipys(
    means: tuple[float, float], variances: tuple[float, float], related: float, threshold: float
) -> None:
    (x_mean, y_mean), (x_variance, y_variance) = means, variances
    covariance = related * math.sqrt(x_variance * y_variance)
    pair = Pair(x_mean, y_mean, x_variance, y_variance, covariance)
    flipped = stats.multivariate_normal([-x_mean, -y_mean], [[x_variance, covariance], [covariance, y_variance]])
    above = stats.norm.sf(threshold, x_mean, math.sqrt(x_variance))
    assert chance_above(pair, threshold) == pytest.approx(above)
    if above > 1e-3:
        found = chance_positive_after(pair, threshold)
        assert found == pytest.approx(flipped.cdf([-threshold, 0.0]) / above, abs=1e-4)


def test_the_mean_gain_is_the_integral() -> None:
    pair = Pair(0.3, 0.2, 2.0, 1.5, 0.9)

    def gain(x: float) -> float:
        return (0.2 + pair.slope * (x - 0.3)) * float(stats.norm.pdf(x, 0.3, math.sqrt(2.0)))

    assert mean_gain_after(pair, 1.2) == pytest.approx(integrate.quad(gain, 1.2, 20)[0])
    assert mean_positive_part(0.0, 4.0) == pytest.approx(2 / math.sqrt(2 * math.pi))


def test_what_does_not_vary_is_certain() -> None:
    still = Pair(1.0, 2.0, 0.0, 0.0, 0.0)
    assert (chance_above(still, 0.5), chance_above(still, 1.5)) == (1.0, 0.0)
    assert (chance_positive_after(still, 0.5), chance_positive_after(still, 1.5)) == (1.0, None)
    assert (mean_gain_after(still, 0.5), mean_gain_after(still, 1.5)) == (2.0, 0.0)
    assert chance_positive_after(Pair.of(np.zeros(2), np.eye(2)), 100.0) is None
