"""Quantiles of clustered observations: coverage of a known truth, errors under monitoring, why clusters matter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from optimizer.core.stats.comparison import Case, Comparison, Design, Method, compare_cases
from optimizer.core.stats.guardrails import Margin, guard
from optimizer.core.stats.multiplicity import holm
from optimizer.core.stats.quantiles import QUANTILE, Quantile, clustered_quantile, quantile_row

EQUAL = {"a": 1.0, "b": 1.0}
BETWEEN, WITHIN = 0.6, 0.4  # deviations of log loading times, between visitors and within


def views(rng: np.random.Generator, units: int, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Loading times whose slowness belongs to the visitor."""
    counts = 1 + rng.poisson(6, units)
    unit = np.repeat(np.arange(units), counts)
    noise = rng.normal(0, BETWEEN, units)[unit] + rng.normal(0, WITHIN, len(unit))
    return (1 + lift) * np.exp(noise), unit


def truth(level: float) -> float:
    return math.exp(math.hypot(BETWEEN, WITHIN) * float(special.ndtri(level)))


def case(arms: Mapping[str, tuple[int, Quantile | None]], method: Method, planned: float | None = None) -> Case:
    return Case(quantile_row(arms), QUANTILE, Design(method, 0.05, planned), EQUAL)


def compared(
    arms: Mapping[str, tuple[int, Quantile | None]], method: Method, planned: float | None = None
) -> Comparison:
    return compare_cases([case(arms, method, planned)], "a", holm)[0][0]


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_hold_a_known_truth_over_clusters_and_not_without_them(level: float) -> None:
    rng = np.random.default_rng(31)
    cases: dict[str, list[Case]] = {"clustered": [], "naive": []}
    for _ in range(400):
        arms = {name: views(rng, 400, lift) for name, lift in (("a", 0.0), ("b", 0.1))}
        for how, own in cases.items():
            found = {
                name: (400, clustered_quantile(values, unit if how == "clustered" else np.arange(len(unit)), level))
                for name, (values, unit) in arms.items()
            }
            own.append(case(found, "fixed"))
    share = {}
    for how, own in cases.items():
        intervals = [one.absolute_interval for [one] in compare_cases(own, "a", list)]
        share[how] = np.mean([i is not None and i.lower <= 0.1 * truth(level) <= i.upper for i in intervals])
    assert 0.925 <= share["clustered"] <= 0.975
    assert share["naive"] < 0.87


def test_monitoring_errs_no_more_than_it_says() -> None:
    rng = np.random.default_rng(33)
    alarmed = judged = 0
    for _ in range(150):
        drawn = {name: views(rng, 4_000) for name in EQUAL}
        looks = []
        for size in range(200, 4_001, 200):
            seen = {name: unit < size for name, (_, unit) in drawn.items()}
            arms = {
                name: (size, clustered_quantile(values[seen[name]], unit[seen[name]], 0.9))
                for name, (values, unit) in drawn.items()
            }
            looks.append(case(arms, "sequential", 4_000))
        found = [one for [one] in compare_cases(looks, "a", list)]
        judged += any(one.status == "ok" for one in found)
        alarmed += any(one.significant for one in found)
    assert judged == 150
    assert alarmed <= 6  # 4% of 150; with z at each of 20 looks about 25%


def test_one_observation_a_unit_is_the_textbook_error() -> None:
    rng = np.random.default_rng(32)
    values = rng.normal(0, 1, 40_000)
    found = clustered_quantile(values, np.arange(40_000), 0.5)
    assert found.value == np.quantile(values, 0.5, method="inverted_cdf")
    assert found.standard_error == pytest.approx(np.sqrt(np.pi / 2 / 40_000), rel=0.1)
    # Woodruff's interval is then scipy's, of the binomial distribution, to a few order statistics.
    exact: Any = stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(0.95)
    assert found.standard_error is not None
    assert 2 * 1.96 * found.standard_error == pytest.approx(exact.high - exact.low, rel=0.05)


@pytest.mark.parametrize("method", ["fixed", "sequential", "bayesian", "group_sequential"])
def test_every_method_says_the_same_of_it_as_of_a_mean_with_this_error(method: Method) -> None:
    rng = np.random.default_rng(34)
    arms = {name: (5_000, clustered_quantile(*views(rng, 3_000, lift), 0.9)) for name, lift in (("a", 0), ("b", 0.1))}
    found = compared(arms, method, 10_000)
    a, b = (found for _, found in arms.values() if found is not None)
    assert found.status == "ok"
    assert found.absolute == pytest.approx(b.value - a.value)
    assert found.standard_error == pytest.approx(math.hypot(a.standard_error or 0, b.standard_error or 0), rel=1e-6)
    assert found.relative == pytest.approx(b.value / a.value - 1)
    assert found.relative_interval is not None
    assert (found.p_value is None) == (method == "bayesian")
    assert found.significant
    harmless = guard("slow", case(arms, method, 10_000), "a", "b", Margin(0.3, increase_is_good=False))
    assert harmless.non_inferior


def test_too_little_has_a_status_and_a_sentence() -> None:
    rng = np.random.default_rng(35)
    few = clustered_quantile([1.0, 2.0, 3.0], [1, 1, 2], 0.5)
    assert few[:4] == (2.0, None, 2, 3)
    assert clustered_quantile(np.arange(50.0), np.arange(50), 0.999).standard_error is None
    assert clustered_quantile([1.0, 2.0], [1, 1], 0.5).standard_error is None
    same = clustered_quantile(np.ones(500), np.arange(500), 0.5)
    enough = clustered_quantile(*views(rng, 500), 0.9)
    rare = clustered_quantile(*views(rng, 500), 0.995)
    cases = {
        "no_occurrences": compared({"a": (9, few), "b": (9, None)}, "fixed"),
        "too_few": compared({"a": (9, few), "b": (9, few)}, "fixed"),
        "no_variance": compared({"a": (500, same), "b": (500, enough)}, "sequential"),
        "too_early": compared({"a": (500, rare), "b": (500, enough)}, "sequential"),
        "empty": compared({"a": (500, enough), "b": (0, None)}, "sequential"),
        "not_final": compared({"a": (500, enough), "b": (500, enough)}, "fixed", 2_000),
        "no_plan": compared({"a": (500, enough), "b": (500, enough)}, "group_sequential"),
    }
    assert {name: one.status for name, one in cases.items()} == {name: name for name in cases}
    assert "visitors with an occurrence" in cases["too_early"].detail
    assert cases["too_early"].missing > 0
    assert compared({"a": (9, few), "b": (9, None)}, "sequential").missing == 100
    for one in cases.values():
        assert all(math.isfinite(value) for value in dataclasses.asdict(one).values() if isinstance(value, float))
    with pytest.raises(ValueError, match="level"):
        clustered_quantile([1.0], [1], 1.0)
    with pytest.raises(ValueError, match="values"):
        clustered_quantile([], [], 0.5)
