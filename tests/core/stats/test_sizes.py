"""Plans against statsmodels, published inflation factors, and simulated experiments of the planned size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.power import NormalIndPower

from optimizer.core.stats.comparison import Case, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.group_sequential import boundaries
from optimizer.core.stats.guardrails import guarded_power
from optimizer.core.stats.multiplicity import holm
from optimizer.core.stats.sizes import (
    alpha_each,
    bayesian_power,
    bayesian_size,
    fixed_power,
    fixed_size,
    group_sequential_size,
    minimum_effect,
    sequential_power,
    sequential_size,
)
from optimizer.core.stats.stopping import group_sequential_stopping, sequential_stopping
from optimizer.core.stats.targets import (
    Shares,
    Target,
    mean_target,
    non_inferiority_target,
    proportion_target,
    shares,
)

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


def share_won(rates: tuple[float, float], sizes: tuple[int, int], runs: int = 1_500) -> float:
    """Simulate fixed-horizon tests by the package's own comparison, as metrics of one call."""
    rng = np.random.default_rng(41)
    counts = np.array([rng.binomial(n, rate, runs) for n, rate in zip(sizes, rates, strict=True)])
    design, names = Design("fixed", 0.05, None), [f"m{run}" for run in range(runs)]
    products = {(name, name): counts[:, run] for run, name in enumerate(names)}
    row = CrossMoments.of_sums("ab", names, sizes, counts, products)
    cases = [Case(row, Measure("proportion", name), design, {}) for name in names]
    found = compare_cases(cases, "a", list)
    return float(np.mean([one.significant for [one] in found]))


@given(st.floats(0.01, 0.5), st.floats(0.05, 5), st.floats(0.2, 5))
def test_unequal_arms_agree_with_statsmodels(effect: float, variance: float, ratio: float) -> None:
    split = Shares(1 / (1 + ratio), ratio / (1 + ratio))
    total = fixed_size(mean_target(variance, effect * math.sqrt(variance), split), 0.05, 0.9)
    theirs = NormalIndPower().solve_power(effect_size=effect, alpha=0.05, power=0.9, ratio=ratio)
    assert total * split.control == pytest.approx(theirs, rel=1e-4)


def test_power_is_as_planned_also_for_unequal_arms() -> None:
    for split in (Shares(), Shares(0.8, 0.2)):
        total = fixed_size(proportion_target(0.10, 0.12, split), 0.05, 0.8)
        sizes = round(total * split.control), round(total * split.treatment)
        assert share_won((0.10, 0.12), sizes) == pytest.approx(0.8, abs=0.04)


def test_the_pooled_test_needs_what_the_reference_says() -> None:
    assert fixed_size(proportion_target(0.10, 0.11, pooled=True)) / 2 == pytest.approx(14_750.79, abs=0.005)
    assert fixed_size(proportion_target(0.10, 0.11)) / 2 == pytest.approx(14_748.05, abs=0.005)


def test_several_arms_share_alpha_and_traffic() -> None:
    splits = shares([2, 1, 1])
    assert splits == [Shares(0.5, 0.25), Shares(0.5, 0.25)]
    three = fixed_size(proportion_target(0.10, 0.11, splits[0]), alpha_each(0.05, 2))
    assert three > 1.2 * fixed_size(proportion_target(0.10, 0.11))
    assert guarded_power(0.8, 1) == pytest.approx(0.9)
    for wrong in ([1.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="weights"):
            shares(wrong)
    with pytest.raises(ValueError, match="comparisons"):
        alpha_each(0.05, 0)


def test_power_and_size_are_each_others_inverse() -> None:
    target = proportion_target(0.10, 0.11)
    assert fixed_power(target, fixed_size(target)) == pytest.approx(0.8, abs=1e-4)
    assert sequential_power(target, sequential_size(target)) == pytest.approx(0.8, abs=1e-6)
    assert bayesian_power(target, bayesian_size(target, 1e-4), 1e-4) == pytest.approx(0.8, abs=1e-6)
    curve = fixed_power(target, np.geomspace(1e3, 1e6, 20))
    assert (np.diff(curve) >= 0).all()


@given(st.floats(0.01, 0.4), st.floats(0.05, 0.5), st.floats(0.001, 0.1), st.floats(0.5, 0.95))
@settings(max_examples=25)
def test_sequential_sizes_solve_the_stated_formula(base: float, lift: float, alpha: float, power: float) -> None:
    target = proportion_target(base, base * (1 + lift))
    n = sequential_size(target, alpha, power)
    nr = -2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))
    k = math.sqrt((nr + 1) / nr * (math.log1p(nr) - 2 * math.log(alpha)))
    shift = target.effect * math.sqrt(n / target.variance)
    assert stats.norm.sf(k - shift) + stats.norm.cdf(-k - shift) == pytest.approx(power, abs=1e-6)


def test_a_group_sequential_plan_has_its_power_and_costs_little_more() -> None:
    # Classical designs cost 1.026 and 1.207 times the fixed size (Jennison and Turnbull 2000, tables 2.2 and 2.4);
    # spending functions of their type come close.
    target, rng = mean_target(1.0, 0.1), np.random.default_rng(46)
    fixed = fixed_size(target, 0.05, 0.9)
    for spending, cost in (("obrien_fleming", 1.026), ("pocock", 1.207)):
        total = group_sequential_size(target, FIFTHS, 0.05, 0.9, spending)  # type: ignore[arg-type]
        assert total / fixed == pytest.approx(cost, abs=0.015)
        bounds = boundaries(FIFTHS, np.array([0.05]), spending)[:, 0]  # type: ignore[arg-type]
        drift = 0.1 * math.sqrt(total / target.variance)
        score = (rng.normal(0, math.sqrt(0.2), (40_000, 5)) + 0.2 * drift).cumsum(1)
        assert (score / np.sqrt(FIFTHS) > bounds).any(1).mean() == pytest.approx(0.9, abs=0.006)


def test_group_sequential_stopping_is_what_simulation_gives() -> None:
    target = mean_target(1.0, 0.1)
    total = group_sequential_size(target, FIFTHS, 0.05, 0.8)
    found = group_sequential_stopping(target, total, FIFTHS, 0.05)
    assert found.power == pytest.approx(0.8, abs=1e-4)
    assert found.expected_units < 0.85 * total
    assert found.p90_units == total
    with pytest.raises(ValueError, match="total"):
        group_sequential_stopping(target, 0, FIFTHS, 0.05)
    with pytest.raises(ValueError, match="fractions"):
        group_sequential_size(target, (0.5, 0.9))


def test_a_sequence_has_more_power_over_all_looks_than_at_the_last_and_stops_early() -> None:
    target = proportion_target(0.30, 0.33, Shares(0.6, 0.4))
    total = sequential_size(target)
    found = sequential_stopping(target, total, 0.05, np.random.default_rng(42))
    assert 0.8 <= found.power <= 0.92
    assert found.expected_units < 0.75 * total
    assert found.expected_units < found.p90_units <= total
    gated = sequential_stopping(target, total, 0.05, np.random.default_rng(42), ready_from=total / 2)
    assert gated.expected_units > found.expected_units
    nothing = sequential_stopping(Target(0.0, *target[1:]), total, 0.05, np.random.default_rng(43))
    assert 0.001 <= nothing.power <= 0.03


def test_guardrails_are_planned_on_the_distance_from_their_margin() -> None:
    target = non_inferiority_target(0.3, 0.21, 0.05)
    total = round(fixed_size(target, 0.05, 0.9))
    rng = np.random.default_rng(44)
    a, b = (rng.binomial(total // 2, 0.3, 4_000) / (total // 2) for _ in range(2))
    error = np.sqrt((b * (1 - b) + 0.95**2 * a * (1 - a)) / (total // 2))
    assert (b - 0.95 * a > 1.959964 * error).mean() == pytest.approx(0.9, abs=0.02)
    assert fixed_size(non_inferiority_target(0.3, 0.21, 0.05, true_lift=0.02)) < fixed_size(target)
    with pytest.raises(ValueError, match="true_lift"):
        non_inferiority_target(0.3, 0.21, 0.05, true_lift=-0.05)


def test_planning_by_expected_loss_agrees_with_draws() -> None:
    target, loss = mean_target(1.0, 0.05), 0.001
    total = bayesian_size(target, loss)
    error = math.sqrt(target.variance / total)
    d = np.random.default_rng(45).normal(0.05, error, 40_000)
    expected = error * stats.norm.pdf(d / error) - d * stats.norm.sf(d / error)
    assert (expected < loss).mean() == pytest.approx(0.8, abs=0.01)
    assert bayesian_size(target, loss / 10) > total
    with pytest.raises(ValueError, match="loss"):
        bayesian_size(target, 0)


def test_the_minimum_effect_is_the_one_that_needs_the_size() -> None:
    found = minimum_effect(
        lambda lift: proportion_target(0.10, 0.10 * (1 + lift)),
        lambda target: float(fixed_power(target, 2 * 14_748.05)),
        0.8,
        2.0,
    )
    assert found == pytest.approx(0.1, rel=1e-3)
    with pytest.raises(ValueError, match="largest"):
        minimum_effect(lambda d: mean_target(1, d), lambda target: float(fixed_power(target, 10)), 0.8, 0.1)


def test_holm_is_what_alpha_each_plans_for() -> None:
    assert holm([0.0249, 0.9])[0] < 0.05
    assert alpha_each(0.05, 2) == 0.025


@pytest.mark.parametrize("loss", [1e-290, 1e-30, 1e-3, 0.1, 0.3989, 2.0, 50.0])
def test_the_z_at_which_a_loss_is_accepted_solves_its_formula(loss: float) -> None:
    """Against brentq, from losses that are hardly numbers to such that anything is accepted."""

    def surplus(z: float) -> float:
        expected = stats.norm.pdf(z) - z * stats.norm.sf(z)
        return math.log(max(expected, 1e-320)) - math.log(loss)

    z = optimize.brentq(surplus, -60.0, 37.0, xtol=1e-12)
    plan = Target(effect=40.0, variance=1.0, null_variance=1.0, pair_share=1.0)
    shift = float(stats.norm.ppf(0.3)) + z  # the effect in standard errors with a power of .3
    of = plan._replace(effect=abs(shift))
    expected = float(stats.norm.cdf(abs(shift) - z))
    assert float(bayesian_power(of, 1.0, loss)) == pytest.approx(expected, abs=1e-9)
