"""Detectors find what was planted, name its numbers, and are quiet where nothing was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimizer.core.stats.drift import Day, novelty, ramp, weekday_dependence
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
