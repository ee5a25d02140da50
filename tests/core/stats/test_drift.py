"""Detectors find what was planted, name its numbers, and are quiet where nothing was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.drift import Day, days_of, linear_days, novelty, ramp, weekday_dependence
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.moments import Moments


def days(
    seed: int,
    effect: Callable[[int], float] = lambda _: 0.0,
    *,
    share: Callable[[int], float] = lambda _: 0.5,
    base: Callable[[int], float] = lambda _: 0.1,
    count: int = 28,
) -> list[Day]:
    rng = np.random.default_rng(seed)
    found = []
    for day in range(count):
        n_b = int(4_000 * share(day))
        n_a = 4_000 - n_b
        yes_a, yes_b = rng.binomial(n_a, base(day)), rng.binomial(n_b, base(day) + effect(day))
        control, treatment = Moments.of_conversions(n_a, int(yes_a)), Moments.of_conversions(n_b, int(yes_b))
        found.append(Day(day % 7, control, treatment))
    return found


RATIO = Measure("ratio", "orders", "visits")
Rows = list[tuple[int, CrossMoments]]


def visits(
    seed: int,
    effect: Callable[[int], float] = lambda _: 0.0,
    *,
    share: Callable[[int], float] = lambda _: 0.5,
    base: Callable[[int], float] = lambda _: 0.2,
    count: int = 28,
) -> Rows:
    """Orders per visit; people differ in how often they come and, therefore, in how often they order."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(count):
        arms = {}
        for arm, size, rate in (("a", 1 - share(day), base(day)), ("b", share(day), base(day) + effect(day))):
            came = 1 + rng.poisson(rng.gamma(2.0, 1.0, round(1_000 * size)))
            arms[arm] = np.column_stack([rng.binomial(came, rate), came])
        rows.append((day % 7, CrossMoments.of_units(("orders", "visits"), arms)))
    return rows


def ratio_days(rows: Rows) -> list[Day]:
    return days_of(rows, RATIO, "a", "b")


def test_what_is_planted_in_a_ratio_is_found() -> None:
    fading = novelty(ratio_days(visits(1, lambda day: 0.1 * np.exp(-day / 7))))
    assert fading.found
    assert "fades from +0.0" in fading.detail
    assert weekday_dependence(ratio_days(visits(2, lambda day: 0.06 if day % 7 >= 5 else 0.0))).found
    ramped = visits(3, share=lambda day: 0.05 if day < 14 else 0.5, base=lambda day: 0.4 if day < 14 else 0.2)
    found = ramp(linear_days(ramped, RATIO, "a", "b"))
    assert found.found
    pooled = sum((row for _, row in ramped), CrossMoments.empty(("a", "b"), ("orders", "visits")))
    ratios = pooled.totals[:, 0] / pooled.totals[:, 1]
    said = float(found.detail.split("the effect is ")[1].split(";")[0].replace("−", "-"))
    assert said == pytest.approx(ratios[1] - ratios[0], rel=0.1)  # to first order


def test_a_steady_ratio_rarely_warns() -> None:
    steady = [visits(seed, lambda _: 0.03, count=14) for seed in range(100, 160)]
    daily = [ratio_days(one) for one in steady]
    for detector in (novelty, weekday_dependence):
        assert sum(detector(one).found for one in daily) <= 3
    assert sum(ramp(linear_days(one, RATIO, "a", "b")).found for one in steady) == 0


def test_a_ratio_of_nothing_says_so() -> None:
    empty = CrossMoments.of_units(("orders", "visits"), {"a": np.zeros((9, 2)), "b": np.zeros((0, 2))})
    for made in (days_of, linear_days):
        for detector in (novelty, weekday_dependence, ramp):
            assert not detector(made([(0, empty)] * 9, RATIO, "a", "b")).found


def test_a_fading_effect_is_found_and_its_ends_are_named() -> None:
    found = novelty(days(1, lambda day: 0.05 * np.exp(-day / 7)))
    assert found.found
    assert "fades" in found.detail
    assert "grows" in novelty(days(2, lambda day: 0.002 * day)).detail


def test_a_steady_share_of_a_level_that_falls_is_no_novelty() -> None:
    def level(day: int) -> float:
        return 0.4 * 0.9**day  # who came earlier has had more time

    steady = days(6, lambda day: 0.2 * level(day), base=level)
    assert novelty(steady).found
    assert not novelty(steady, relative=True).found
    fading = novelty(days(7, lambda day: 0.4 * level(day) * 0.8**day, base=level), relative=True)
    assert fading.found
    assert "fades from +" in fading.detail
    assert "% on the first day" in fading.detail
    nobody = Moments.of_conversions(100, 0)
    assert not novelty([Day(0, nobody, nobody)] * 9, relative=True).found


def test_a_weekend_effect_is_found() -> None:
    found = weekday_dependence(days(3, lambda day: 0.04 if day % 7 >= 5 else 0.0))
    assert found.found
    assert "whole weeks" in found.detail


def test_a_ramp_over_changing_days_is_found_and_the_within_day_effect_is_right() -> None:
    found = ramp(days(4, share=lambda day: 0.05 if day < 14 else 0.5, base=lambda day: 0.2 if day < 14 else 0.1))
    assert found.found
    assert "Trust the second" in found.detail
    assert not ramp(days(5, share=lambda day: 0.05 if day < 14 else 0.5)).found  # the level did not change with it


def test_steady_effects_rarely_warn() -> None:
    steady = [days(seed, lambda _: 0.02) for seed in range(200)]
    for detector in (novelty, weekday_dependence):
        assert sum(detector(one).found for one in steady) <= 8
    assert sum(novelty(one, relative=True).found for one in steady) <= 8
    assert sum(ramp(one).found for one in steady) == 0


def test_too_little_says_so() -> None:
    for detector in (novelty, weekday_dependence, ramp):
        found = detector([])
        assert (found.found, found.p_value) == (False, 1.0)
        assert found.detail
        one = Moments.of_conversions(1, 1)
        assert not detector([Day(0, one, one)] * 20).found
