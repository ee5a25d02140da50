"""Error under monitoring, simulated with fixed seeds and held in bands: too small is as suspicious as too large.

Two of the simulations leave out a gate and assert how badly that ends, so that nobody takes the gate away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from optimizer.core.stats.comparison import Case, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.exact import exact_p_value
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.group_sequential import boundaries
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.proportions import newcombe_interval
from optimizer.core.stats.sequential import (
    CONVERTERS,
    EXPECTED_CONVERSIONS,
    critical_values,
    one_sided_critical_value,
    p_values,
    rho_squared,
)

Floats = NDArray[np.float64]
PLANNED = 5_000.0
LOOKS = np.arange(1, 201) * PLANNED / 20  # every 5% of the plan, out to ten times the plan
RHO2 = np.array(rho_squared(0.05, PLANNED))


class Paths(NamedTuple):
    """Simulated tests seen at every look, shape (runs, looks)."""

    difference: Floats
    unpooled: Floats
    pooled: Floats
    expected: Floats


def rates(rate: float, share: float, *, runs: int = 1_500, looks: Floats = LOOKS, lift: float = 0.0) -> Paths:
    """Simulate two rates; `expected` is how many conversions the smaller arm expects."""
    rng = np.random.default_rng(61)
    sizes = [np.round(looks * (1 - share)), np.round(looks * share)]
    chances = (rate, rate * (1 + lift))
    yes = [
        rng.binomial(np.diff(size, prepend=0.0).astype(int), chance, (runs, len(looks))).cumsum(1)
        for size, chance in zip(sizes, chances, strict=True)
    ]
    p_a, p_b = yes[0] / sizes[0], yes[1] / sizes[1]
    together = (yes[0] + yes[1]) / looks
    unpooled = p_a * (1 - p_a) / sizes[0] + p_b * (1 - p_b) / sizes[1]
    pooled = together * (1 - together) * (1 / sizes[0] + 1 / sizes[1])
    return Paths(p_b - p_a, unpooled, pooled, np.minimum(together, 1 - together) * np.minimum(*sizes))


def ever(found: NDArray[np.bool_]) -> float:
    return float(found.any(1).mean())


SPLITS = [(0.3, 0.5), (0.3, 0.1), (0.02, 0.5), (0.02, 0.1)]


@pytest.mark.parametrize(("rate", "share"), SPLITS)
def test_the_sequence_keeps_its_error_out_to_ten_times_the_plan(rate: float, share: float) -> None:
    paths = rates(rate, share)
    error = np.sqrt(np.maximum(paths.unpooled, paths.pooled))
    ready = paths.expected >= EXPECTED_CONVERSIONS
    p = p_values(paths.difference / np.maximum(error, 1e-12), LOOKS, RHO2)
    assert 0.002 <= ever(ready & (p < 0.05)) <= 0.035


@pytest.mark.parametrize(("rate", "share"), SPLITS)
def test_one_sided_sequences_keep_theirs(rate: float, share: float) -> None:
    paths = rates(rate, share)
    error = np.sqrt(np.maximum(paths.unpooled, paths.pooled))
    rho2 = rho_squared(0.10, PLANNED)
    bound = np.array([one_sided_critical_value(n, 0.05, rho2) for n in LOOKS])
    ready = paths.expected >= EXPECTED_CONVERSIONS
    for sign in (1, -1):
        assert 0.002 <= ever(ready & (sign * paths.difference > bound * error)) <= 0.05


@pytest.mark.parametrize(("rate", "share"), SPLITS)
def test_intervals_hold_the_truth_at_every_look_at_once(rate: float, share: float) -> None:
    paths = rates(rate, share, lift=0.2)
    error = np.sqrt(np.maximum(paths.unpooled, paths.pooled))
    missed = np.abs(paths.difference - 0.2 * rate) > critical_values(LOOKS, np.array(0.05), RHO2) * error
    assert 0.001 <= ever((paths.expected >= EXPECTED_CONVERSIONS) & missed) <= 0.04


def test_without_its_gate_a_rare_rate_in_a_small_arm_breaks_it() -> None:
    looks = np.arange(1, 401) * PLANNED / 100
    paths = rates(0.02, 0.1, runs=800, looks=looks)
    p = p_values(paths.difference / np.sqrt(np.maximum(paths.unpooled, 1e-12)), looks, RHO2)
    assert 0.18 <= ever((paths.unpooled > 0) & (p < 0.05)) <= 0.32  # statistics page: 25%


def test_a_fixed_test_that_is_peeked_at_breaks() -> None:
    paths = rates(0.3, 0.5)
    assert ever(np.abs(paths.difference) > 1.96 * np.sqrt(paths.unpooled)) > 0.35


def revenue(share: float, runs: int = 1_000) -> tuple[Floats, Floats, Floats]:
    """Heavy-tailed sums: 2% convert, and what they spend is log-normal; difference, variance, fewer converters."""
    rng, arms = np.random.default_rng(62), []
    for size in (np.round(LOOKS * (1 - share)), np.round(LOOKS * share)):
        converters = rng.binomial(np.diff(size, prepend=0.0).astype(int), 0.02, (runs, len(LOOKS)))
        cell = np.repeat(np.arange(converters.size), converters.ravel())
        amounts = np.exp(rng.normal(3.0, 1.5, len(cell)))
        total, squares = (
            np.bincount(cell, amounts**power, converters.size).reshape(converters.shape).cumsum(1) for power in (1, 2)
        )
        mean = total / size
        arms.append((mean, (squares - total * mean) / (size - 1) / size, converters.cumsum(1)))
    (mean_a, variance_a, seen_a), (mean_b, variance_b, seen_b) = arms
    return mean_b - mean_a, variance_a + variance_b, np.minimum(seen_a, seen_b)


@pytest.mark.parametrize(("share", "ungated"), [(0.5, (0.0, 0.04)), (0.1, (0.18, 0.33))])
def test_heavy_tails_need_their_gate_and_keep_the_error_with_it(share: float, ungated: tuple[float, float]) -> None:
    difference, variance, converters = revenue(share)
    p = p_values(difference / np.sqrt(np.maximum(variance, 1e-12)), LOOKS, RHO2)
    alarm = (variance > 0) & (p < 0.05)
    assert ungated[0] <= ever(alarm) <= ungated[1]
    assert 0.0005 <= ever((converters >= CONVERTERS) & alarm) <= 0.03


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize(("rate", "share"), SPLITS)
def test_group_sequential_looks_spend_their_error(rate: float, share: float, spending: str) -> None:
    looks = np.array([8e3, 16e3, 24e3, 32e3, 40e3])
    paths = rates(rate, share, runs=6_000, looks=looks)
    bounds = boundaries(tuple(looks / looks[-1]), np.array([0.05]), spending)[:, 0]  # type: ignore[arg-type]
    z = paths.difference / np.sqrt(np.maximum(np.maximum(paths.unpooled, paths.pooled), 1e-12))
    assert 0.02 <= ever((np.abs(z) > bounds) & (paths.expected >= EXPECTED_CONVERSIONS)) <= 0.06


def test_a_posterior_that_is_read_at_every_look_has_no_error_rate_to_keep() -> None:
    # With a flat prior the chance to win is Φ(z): what `bayes.CAUTION` says beside every Bayesian figure.
    paths = rates(0.3, 0.5)
    chance = special.ndtr(paths.difference / np.sqrt(paths.unpooled))
    assert ever((chance > 0.975) | (chance < 0.025)) > 0.35


COLUMNS = ("revenue", "visits", "bought", "before")
MONITORED = {
    "mean": Measure("mean", "revenue", converters="bought"),
    "adjusted mean": Measure("mean", "revenue", covariates=("before",), converters="bought"),
    "ratio": Measure("ratio", "revenue", "visits", converters="bought"),
    "adjusted ratio": Measure("ratio", "revenue", "visits", covariates=("before",), converters="bought"),
}


def shop(rng: np.random.Generator, size: int) -> Floats:
    taste = rng.gamma(2.0, 0.5, size)
    visits, bought = 1 + rng.poisson(taste), rng.random(size) < np.minimum(0.2 * taste, 0.9)
    amounts = rng.gamma(2.0, 10.0, (2, size)) * taste
    return np.column_stack([bought * amounts[0], visits, bought, amounts[1]]).astype(float)


def test_means_ratios_and_adjusted_figures_keep_their_error_when_theta_is_fitted_anew_at_every_look() -> None:
    rng, design = np.random.default_rng(63), Design("sequential", 0.05, 4_000)
    alarms = dict.fromkeys(MONITORED, 0)
    for _ in range(300):
        row, cases = CrossMoments.empty("ab", COLUMNS), []
        for _ in range(10):  # looks at 800 to 8 000 units, twice the plan
            row = row + CrossMoments.of_units(COLUMNS, {"a": shop(rng, 480), "b": shop(rng, 320)})
            cases.append([Case(row, measure, design, {}) for measure in MONITORED.values()])
        found = compare_cases([case for look in cases for case in look], "a", list)
        for place, name in enumerate(MONITORED):
            alarms[name] += any(one.significant for [one] in found[place :: len(MONITORED)])
    for seen in alarms.values():
        assert 0.003 <= seen / 300 <= 0.035


@pytest.mark.parametrize(("sizes", "rate"), [((40, 40), 0.1), ((60, 30), 0.15), ((2_000, 1_500), 0.002)])
def test_exact_tests_and_their_intervals_hold_what_they_say(sizes: tuple[int, int], rate: float) -> None:
    rng = np.random.default_rng(64)
    pairs = list(zip(*(rng.binomial(size, rate, 800).tolist() for size in sizes), strict=True))
    p = {pair: exact_p_value(pair[0], sizes[0], pair[1], sizes[1])[0] for pair in set(pairs)}
    assert 0.003 <= np.mean([p[pair] < 0.05 for pair in pairs]) <= 0.055
    held = {
        pair: newcombe_interval(
            Moments.of_conversions(sizes[0], pair[0]), Moments.of_conversions(sizes[1], pair[1]), 0.05
        )
        for pair in set(pairs)
    }
    assert 0.94 <= np.mean([held[pair].lower <= 0 <= held[pair].upper for pair in pairs]) <= 0.995
