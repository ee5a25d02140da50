"""Posteriors against scipy's quadrature and against draws from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from optimizer.core.stats.bayes import (
    Prior,
    believe,
    betas,
    difference_quantiles,
    judge_by_belief,
    ratio_quantiles,
)
from optimizer.core.stats.betas import Betas
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.pairs import pair_of

FLAT = Prior()


def of(yes_a: int, n_a: int, yes_b: int, n_b: int, prior: Prior = FLAT) -> tuple[Betas, Betas]:
    rates = ((yes_a, n_a), (yes_b, n_b))
    a, b = (betas(np.array([float(yes)]), np.array([float(n)]), prior) for yes, n in rates)
    return a, b


def test_the_reference_number() -> None:
    assert believe(*of(49, 100, 51, 100)).chance_to_win[0] == pytest.approx(0.6108, abs=5e-5)


counts = st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))


@given(counts, st.sampled_from([FLAT, Prior(0.5, 0.5), Prior(3, 30)]))
@settings(max_examples=20)
def test_the_chance_to_win_agrees_with_scipys_quadrature(drawn: tuple[int, int, int, int], prior: Prior) -> None:
    yes_a, no_a, yes_b, no_b = drawn
    posterior = of(yes_a, yes_a + no_a, yes_b, yes_b + no_b, prior)
    a, b = (stats.beta(float(rate.yes[0]), float(rate.no[0])) for rate in posterior)
    exact = integrate.quad(lambda u: a.cdf(b.ppf(u)), 0, 1, limit=200, epsabs=1e-9)[0]
    found = believe(*posterior)
    assert found.chance_to_win[0] == pytest.approx(exact, abs=1e-5)
    assert found.baseline_loss[0] - found.loss[0] == pytest.approx(b.mean() - a.mean(), abs=1e-4)


@given(counts, st.floats(0.001, 0.999))
@example((1, 1, 0, 400), 0.3)  # one posterior far sharper than the other
@example((400, 0, 12, 5), 0.5)  # sharp as a rate, wide as a logit
@example((3, 0, 0, 12), 0.001)  # the end of the scale
@example((7, 0, 400, 90), 0.025)  # a start outside of the scale
@example((693, 0, 0, 527), 0.5)  # both at their ends
@settings(max_examples=20)
def test_quantiles_hold_the_share_they_say(drawn: tuple[int, int, int, int], level: float) -> None:
    yes_a, no_a, yes_b, no_b = drawn
    posterior = of(yes_a, yes_a + no_a, yes_b, yes_b + no_b)
    a, b = (stats.beta(float(rate.yes[0]), float(rate.no[0])) for rate in posterior)
    x, r = (float(solve(*posterior, [np.array([level])])[0][0]) for solve in (difference_quantiles, ratio_quantiles))
    rate = a.ppf((np.arange(50_000) + 0.5) / 50_000)
    assert b.cdf(rate + x).mean() == pytest.approx(level, abs=3e-4)
    assert b.cdf(rate * r).mean() == pytest.approx(level, abs=3e-4)


def test_tiny_losses_and_far_apart_posteriors_are_exact() -> None:
    # Against a rate known to be x, Beta(1, n) loses ∫ (1 − p)^n over p > x: here x is as good as known.
    far = believe(*of(0, 9, 2_344_800, 4_679_100))
    x = 2_344_801 / 4_679_102
    assert far.loss[0] == pytest.approx((1 - x) ** 11 / 11, rel=1e-4)
    assert far.chance_to_win[0] == pytest.approx(1 - (1 - x) ** 10, abs=1e-7)
    turned = believe(*of(2_344_800, 4_679_100, 0, 9))
    assert turned.baseline_loss[0] == pytest.approx(far.loss[0], rel=1e-9)
    assert turned.loss[0] - turned.baseline_loss[0] == pytest.approx(x - 1 / 11, rel=1e-12)


def test_losses_and_intervals_agree_with_draws() -> None:
    rng = np.random.default_rng(5)
    posterior = of(30, 1_000, 9, 150)
    a, b = rng.beta(31, 971, 400_000), rng.beta(10, 142, 400_000)
    found = believe(*posterior)
    assert found.loss[0] == pytest.approx(np.maximum(a - b, 0).mean(), rel=0.03)
    assert found.baseline_loss[0] == pytest.approx(np.maximum(b - a, 0).mean(), rel=0.01)
    for level in (0.025, 0.975):
        assert difference_quantiles(*posterior, [np.array([level])])[0][0] == pytest.approx(
            np.quantile(b - a, level), abs=1e-3
        )


def test_means_have_a_normal_posterior_that_a_prior_shrinks() -> None:
    control, treatment = Moments(500, 5_000.0, 60_000.0), Moments(500, 5_300.0, 67_000.0)
    pair = pair_of(control, treatment, "mean")
    flat = judge_by_belief(pair, np.array([0.05]), FLAT)
    error = np.sqrt(control.variance / 500 + treatment.variance / 500)
    assert flat.chance_to_win[0] == pytest.approx(stats.norm.cdf(0.6 / error))
    exact = integrate.quad(lambda d: max(-d, 0) * stats.norm.pdf(d, 0.6, error), -10, 10)[0]
    assert flat.loss[0] == pytest.approx(exact, rel=1e-5)
    assert flat.baseline_loss[0] - flat.loss[0] == pytest.approx(0.6)
    shrunk = judge_by_belief(pair, np.array([0.05]), Prior(lift_deviation=0.02))
    width = (0.02 * 10) ** 2
    assert shrunk.estimate[0] == pytest.approx(0.6 * width / (width + error**2))
    assert shrunk.upper[0] - shrunk.lower[0] < flat.upper[0] - flat.lower[0]
    assert "2%" in Prior(lift_deviation=0.02).sentence()


def test_all_or_nothing_converted_still_has_a_posterior() -> None:
    pair = pair_of(Moments.of_conversions(5, 0), Moments.of_conversions(8, 8), "proportion")
    found = judge_by_belief(pair, np.array([0.05]), FLAT)
    assert 0.99 < found.chance_to_win[0] < 1
    assert 0 < found.lower[0] < found.upper[0] < 1
    with pytest.raises(ValueError, match="prior"):
        of(1, 2, 1, 2, Prior(0, 1))


def test_counts_beyond_all_traffic_are_answered_by_the_normal_posterior() -> None:
    huge = 2**53
    pair = pair_of(Moments.of_conversions(huge, huge), Moments.of_conversions(huge, huge // 2), "proportion")
    found = judge_by_belief(pair, np.array([0.05]), FLAT)
    assert found.names == ["normal_posterior"]
    assert found.chance_to_win[0] == 0.0
    assert found.loss[0] == pytest.approx(0.5)
