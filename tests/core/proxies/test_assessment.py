from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.core.proxies.assessment import Assessment, assess, pin_down
from optimizer.core.proxies.corpus import Corpus, corpus_of_effects
from tests.core.proxies.simulated import alike, simulate

STRONG, MEAN = np.array([[1.0, 0.7], [0.7, 1.0]]), np.array([0.3, 0.1])


def judged(corpus: Corpus, units: float = 4.0) -> Assessment:
    return assess(corpus, units, np.random.default_rng(0))


def numbers(value: Any) -> list[float]:
    if isinstance(value, np.ndarray):
        return [float(one) for one in value.ravel()]
    if isinstance(value, dict | list | tuple):
        return [n for part in (value.values() if isinstance(value, dict) else value) for n in numbers(part)]
    return [value] if isinstance(value, float) else []


def test_a_good_proxy_has_every_figure_near_the_truth() -> None:
    _, corpus = simulate(np.random.default_rng(1), STRONG, MEAN, np.ones(300), alike(300, 0.4, 0.5))
    found = judged(corpus)
    assert found.status == "ok"
    assert found.slope is not None
    assert found.forecast is not None
    assert found.correlation == pytest.approx(0.7, abs=0.1)
    assert found.slope.estimate[0] == pytest.approx(0.7, abs=0.1)
    assert found.jive_slope == pytest.approx(found.slope.estimate[0])
    assert found.quality == pytest.approx(0.7 / math.sqrt(1.4), abs=0.1)  # 4 units in all have w = 1
    assert found.naive.correlation is not None
    assert found.opposite_sign_risk is not None
    assert found.opposite_sign_risk < 0.2
    assert "interval" in found.detail


def test_identical_effects_are_no_evidence_of_anything() -> None:
    found = judged(corpus_of_effects(np.tile([0.1, 0.2], (9, 1)), alike(9, 1.0, 0.5), np.ones(9)))
    assert found.status == "no_variation"
    assert found.slope is None


def test_one_or_two_experiments_are_not_enough() -> None:
    _, corpus = simulate(np.random.default_rng(2), STRONG, MEAN, np.ones(2), alike(2, 0.4, 0.5))
    assert judged(corpus).status == "not_enough_evidence"
    one = judged(corpus.where(np.array([True, False])))
    assert (one.status, one.experiments) == ("not_enough_evidence", 1)


def test_a_wide_interval_is_refused_whatever_the_count() -> None:
    _, corpus = simulate(np.random.default_rng(3), STRONG, MEAN, np.ones(40), alike(40, 5.0, 0.5))
    found = judged(corpus)
    assert found.status in {"not_enough_evidence", "no_variation"}


def test_the_goal_under_another_name_or_in_another_unit_is_recognised() -> None:
    rng = np.random.default_rng(4)
    effects = rng.standard_normal((12, 1)) * np.array([100.0, 1.0])
    noise = rng.uniform(0.5, 2, (12, 1, 1)) * np.array([[10_000.0, 100.0], [100.0, 1.0]])
    assert judged(corpus_of_effects(effects, noise, np.ones(12))).status == "equals_goal"


def test_a_metric_without_noise_is_refused() -> None:
    _, corpus = simulate(np.random.default_rng(5), STRONG, MEAN, np.ones(9), alike(9, 0.4, 0.5))
    noise = corpus.noise.copy()
    noise[3, 0] = noise[3, :, 0] = 0.0
    assert judged(corpus_of_effects(corpus.effects, noise, corpus.weights)).status == "not_enough_evidence"


@given(st.integers(1, 12), st.integers(0, 10_000), st.sampled_from([0.0, 1e-12, 1.0, 1e9]), st.floats(0.01, 1e9))
def test_no_past_makes_a_number_that_is_not_one(count: int, seed: int, scale: float, units: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, 30, 2)) * rng.choice([0.0, 1.0, 1e-6], (count, 1, 2))
    noise = np.array([np.cov(one.T) / 30 for one in values])
    found = judged(corpus_of_effects(scale * rng.standard_normal((count, 2)), noise, np.ones(count)), units)
    assert found.detail
    assert all(math.isfinite(number) for number in numbers(dataclasses.asdict(found)))


def test_what_is_not_a_pair_or_a_size_is_refused() -> None:
    _, corpus = simulate(np.random.default_rng(6), STRONG, MEAN, np.ones(4), alike(4, 1.0, 0.0))
    with pytest.raises(ValueError, match="exactly"):
        judged(corpus.of_metrics([0]))
    for units in (0.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="units"):
            judged(corpus, units)


def test_a_part_of_the_past_is_judged_by_its_slope_alone() -> None:
    _, corpus = simulate(np.random.default_rng(7), STRONG, MEAN, np.ones(300), alike(300, 0.4, 0.5))
    whole, part = judged(corpus), pin_down(corpus)
    assert whole.slope is not None
    assert part.slope is not None
    assert (part.status, part.correlation) == ("ok", whole.correlation)
    assert part.slope.interval == whole.slope.interval
    assert pin_down(corpus.where(np.arange(300) < 2)) == ("not_enough_evidence", None, None)
