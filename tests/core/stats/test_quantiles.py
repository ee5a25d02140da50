"""Quantiles of clustered observations: coverage by simulation, and why the clusters matter."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.stats.quantiles import clustered_quantile, compare_quantiles


def views(rng: np.random.Generator, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Loading times whose slowness belongs to the visitor."""
    counts = 1 + rng.poisson(6, units)
    unit = np.repeat(np.arange(units), counts)
    return np.exp(rng.normal(0, 0.6, units)[unit] + rng.normal(0, 0.4, len(unit))), unit


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_aa_error_holds_over_clusters_and_not_without_them(level: float) -> None:
    rng = np.random.default_rng(31)
    false_alarms = {"clustered": 0, "naive": 0}
    for _ in range(300):
        arms = [views(rng, 300) for _ in range(2)]
        for name in false_alarms:
            found = [
                clustered_quantile(values, unit if name == "clustered" else np.arange(len(unit)), level)
                for values, unit in arms
            ]
            effect = compare_quantiles(found[0], found[1], 0.05)
            assert effect is not None
            false_alarms[name] += effect.p_value < 0.05
    assert 0.02 <= false_alarms["clustered"] / 300 <= 0.09
    assert false_alarms["naive"] / 300 > 0.15


def test_one_observation_a_unit_is_the_textbook_error() -> None:
    rng = np.random.default_rng(32)
    values = rng.normal(0, 1, 40_000)
    found = clustered_quantile(values, np.arange(40_000), 0.5)
    assert found.value == np.quantile(values, 0.5, method="inverted_cdf")
    assert found.standard_error == pytest.approx(np.sqrt(np.pi / 2 / 40_000), rel=0.1)


def test_too_little_has_no_error_and_no_test() -> None:
    few = clustered_quantile([1.0, 2.0, 3.0], [1, 1, 2], 0.5)
    assert (few.value, few.standard_error, few.units, few.observations) == (2.0, None, 2, 3)
    tail = clustered_quantile(np.arange(50.0), np.arange(50), 0.999)
    assert tail.standard_error is None
    assert clustered_quantile(np.ones(50), np.arange(50), 0.5).standard_error is None
    assert compare_quantiles(few, few, 0.05) is None
    with pytest.raises(ValueError, match="level"):
        clustered_quantile([1.0], [1], 1.0)
    with pytest.raises(ValueError, match="values"):
        clustered_quantile([], [], 0.5)
