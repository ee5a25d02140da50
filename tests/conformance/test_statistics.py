"""The laws that every way of comparing must keep: each method with each family of metrics.

A new method or family is added to the lists below and has nothing else to prove here.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from optimizer.core.stats.comparison import Case, Comparison, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import holm
from optimizer.core.stats.quantiles import QUANTILE, Quantile, clustered_quantile, quantile_row

COLUMNS = ("bought", "revenue", "visits", "bought_before", "revenue_before", "visits_before")
METHODS = ("fixed", "sequential", "group_sequential", "bayesian")
FAMILIES = {
    "proportion": Measure("proportion", "bought"),
    "mean": Measure("mean", "revenue", converters="bought"),
    "ratio": Measure("ratio", "revenue", "visits", converters="bought"),
    "adjusted proportion": Measure("proportion", "bought", covariates=("bought_before", "visits_before")),
    "adjusted mean": Measure("mean", "revenue", covariates=("revenue_before",), converters="bought"),
    "adjusted ratio": Measure(
        "ratio", "revenue", "visits", covariates=("revenue_before", "visits_before"), converters="bought"
    ),
}
SUMMED = [(method, family) for method in METHODS for family in FAMILIES]
FAMILIES["quantile"] = (
    QUANTILE  # the median of what buyers spent: no sum over units, so the only one not to be merged
)
EVERY = [(method, family) for method in METHODS for family in FAMILIES]
Units = NDArray[np.float64]


def shop(rng: np.random.Generator, size: int, lift: float = 0.0) -> Units:
    """People with a taste that lasts: what they did before tells what they do now."""
    taste = rng.beta(2, 5, size)
    visits, before = 1 + rng.poisson(4 * taste), 1 + rng.poisson(4 * taste)
    bought = rng.random(size) < (0.15 + 0.5 * taste) * (1 + lift)
    bought_before = rng.random(size) < 0.15 + 0.5 * taste
    amounts = rng.gamma(3, 10, (2, size)) * (0.5 + taste)
    columns = (bought, bought * amounts[0], visits, bought_before, bought_before * amounts[1], before)
    return np.column_stack(columns).astype(float)


def case(units: dict[str, Units], method: str, family: str, **more: Any) -> Case:
    design = Design(method, 0.05, None if method == "fixed" else sum(len(arm) for arm in units.values()), **more)  # type: ignore[arg-type]
    if family == "quantile":
        row = quantile_row({arm: (len(rows), median_spent(rows)) for arm, rows in units.items()})
    else:
        row = CrossMoments.of_units(COLUMNS, units)
    return Case(row, FAMILIES[family], design, {})


def median_spent(rows: Units) -> Quantile | None:
    buyers = np.flatnonzero(rows[:, 0])
    return clustered_quantile(rows[buyers, 1], buyers, 0.5) if len(buyers) else None


def judged(units: dict[str, Units], method: str, family: str, baseline: str = "a") -> Comparison:
    return compare_cases([case(units, method, family)], baseline, holm)[0][0]


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict | list | tuple):
        return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in flat(part)]
    return [value]


def numbers(found: Comparison) -> list[float]:
    return [leaf for leaf in flat(dataclasses.asdict(found)) if isinstance(leaf, float)]


@pytest.mark.parametrize(("method", "family"), EVERY)
def test_without_an_effect_it_errs_as_often_as_it_says(method: str, family: str) -> None:
    rng = np.random.default_rng(51)
    cases = [case({"a": shop(rng, 800), "b": shop(rng, 600)}, method, family) for _ in range(400)]
    found = [one for [one] in compare_cases(cases, "a", list)]
    assert {one.status for one in found} <= {"ok"}
    # One look: monitoring alone pays for the looks that it could have taken.
    low, high = (0.0, 0.015) if method == "sequential" else (0.02, 0.085)
    assert low <= np.mean([one.significant for one in found]) <= high


@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_hold_the_truth_as_often_as_they_say(family: str) -> None:
    rng = np.random.default_rng(52)
    truth = judged({"a": shop(rng, 600_000), "b": shop(rng, 600_000, 0.2)}, "fixed", family)
    assert truth.absolute is not None
    assert truth.relative is not None
    cases = [case({"a": shop(rng, 500), "b": shop(rng, 500, 0.2)}, "fixed", family) for _ in range(400)]
    held, related = [], []
    for [one] in compare_cases(cases, "a", list):
        assert one.absolute_interval is not None
        assert one.relative_interval is not None
        held.append(one.absolute_interval.lower <= truth.absolute <= one.absolute_interval.upper)
        related.append(one.relative_interval.lower <= truth.relative <= one.relative_interval.upper)
    assert 0.92 <= np.mean(held) <= 0.98
    assert 0.92 <= np.mean(related) <= 0.98


@pytest.mark.parametrize(("method", "family"), EVERY)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), lift=st.floats(-0.3, 0.3))
def test_both_intervals_and_the_verdict_say_the_same(method: str, family: str, seed: int, lift: float) -> None:
    rng = np.random.default_rng(seed)
    found = judged({"a": shop(rng, 800), "b": shop(rng, 800, lift)}, method, family)
    assert found.absolute_interval is not None
    edge = min(abs(bound) for bound in found.absolute_interval) / (found.standard_error or 1)
    if edge < 1e-3:  # on the very edge, rounding decides
        return
    for interval in (found.absolute_interval, found.relative_interval):
        assert interval is not None
        assert (interval.lower > 0 or interval.upper < 0) == found.significant
    assert found.absolute is not None
    assert found.absolute_interval.lower <= found.absolute <= found.absolute_interval.upper
    if found.p_value is not None:
        assert (found.p_value < 0.05) == found.significant


@pytest.mark.parametrize(("method", "family"), EVERY)
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_swapping_the_arms_turns_the_sign_and_nothing_else(method: str, family: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = {"a": shop(rng, 700), "b": shop(rng, 500, 0.1)}
    forth, back = judged(units, method, family), judged(units, method, family, "b")
    assert forth.absolute == pytest.approx(-(back.absolute or 0))
    assert forth.absolute_interval is not None
    assert back.absolute_interval is not None
    assert forth.absolute_interval == pytest.approx(
        (-back.absolute_interval.upper, -back.absolute_interval.lower), abs=1e-7
    )
    assert forth.significant == back.significant
    if forth.p_value is None:
        assert forth.chance_to_win == pytest.approx(1 - (back.chance_to_win or 0), abs=1e-9)
        assert forth.expected_loss == pytest.approx(back.baseline_loss, rel=1e-6, abs=1e-12)
    else:
        assert forth.p_value == pytest.approx(back.p_value)


@pytest.mark.parametrize(("method", "family"), SUMMED)
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 600))
def test_merged_parts_say_what_the_whole_says(method: str, family: str, seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    units = {"a": shop(rng, 600), "b": shop(rng, 600)}
    whole = case(units, method, family)
    parts = [
        CrossMoments.of_units(COLUMNS, {arm: rows[part] for arm, rows in units.items()})
        for part in (slice(None, cut), slice(cut, None))
    ]
    merged = dataclasses.replace(whole, row=parts[0] + parts[1])
    [[one]], [[other]] = compare_cases([whole], "a", holm), compare_cases([merged], "a", holm)
    assert one.status == other.status
    assert numbers(one) == pytest.approx(numbers(other), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("method", "family"), EVERY)
@settings(max_examples=25)
@given(
    rows=st.lists(st.lists(st.tuples(*(st.sampled_from([0.0, 1.0, 3.0]),) * 5), max_size=14), min_size=2, max_size=3),
    weights=st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3),
    same=st.booleans(),
)
def test_degenerate_input_has_a_status_and_no_number_that_is_not_one(
    method: str,
    family: str,
    rows: list[list[tuple[float, ...]]],
    weights: list[float],
    same: bool,
) -> None:
    arms: dict[str, Units] = {}
    for name, drawn in zip("abc", rows, strict=False):
        values: Units = np.array([((x[0] > 0), *x) for x in drawn], float).reshape(-1, 6)
        arms[name] = np.ones_like(values) if same else values
    given_case = case(arms, method, family)
    planned = dataclasses.replace(given_case.design, planned_total=10.0)
    weighed = dataclasses.replace(given_case, weights=dict(zip("abc", weights, strict=True)), design=planned)
    for found in compare_cases([weighed], "a", holm)[0]:
        assert all(math.isfinite(number) for number in numbers(found))
        assert found.status
        if found.status not in {"ok", "not_final"}:
            assert found.detail
            assert found.absolute is None
            assert not found.significant


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), lift=st.floats(-0.3, 0.3), sizes=st.tuples(*(st.integers(200, 900),) * 2))
def test_fixed_horizons_agree_with_tea_tasting(seed: int, lift: float, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    units = {"a": shop(rng, sizes[0]), "b": shop(rng, sizes[1], lift)}
    columns = dict(zip(COLUMNS, np.concatenate(list(units.values())).T, strict=True))
    table = pa.table({**columns, "variant": np.repeat([0, 1], sizes)})
    theirs = tt.Experiment(
        {
            "proportion": tt.Proportion("bought", method="norm", correction=False, equal_var=False),
            "mean": tt.Mean("revenue", use_t=True, equal_var=False),
            "ratio": tt.RatioOfMeans("revenue", "visits", use_t=True, equal_var=False),
            "adjusted mean": tt.Mean("revenue", "revenue_before", use_t=True, equal_var=False),
        }
    ).analyze(table)
    for family, close in (("proportion", 1e-6), ("mean", 1e-6), ("ratio", 1e-6), ("adjusted mean", 0.02)):
        ours, other = judged(units, "fixed", family), theirs[family]
        assert ours.absolute_interval is not None
        width = ours.absolute_interval.upper - ours.absolute_interval.lower
        # Where covariates are used, they take θ over all units together and we within arms.
        assert ours.absolute == pytest.approx(other.effect_size, abs=close * width)
        assert ours.absolute_interval.lower == pytest.approx(other.effect_size_ci_lower, abs=close * width)
        assert ours.absolute_interval.upper == pytest.approx(other.effect_size_ci_upper, abs=close * width)
        assert ours.p_value == pytest.approx(other.pvalue, abs=max(1e-9, close))
