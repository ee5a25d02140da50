from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from optimizer.core.allocation import Points, Split, resplit, shares, split

MILLION = 1_000_000
weightings = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e9), min_size=1).filter(
    lambda weights: sum(weights.values()) > 0
)


@pytest.fixture(scope="module")
def units() -> list[str]:
    return [f"u:{number}" for number in range(MILLION)]


@pytest.fixture(scope="module")
def points(units: list[str]) -> np.ndarray:
    return Points("seed", "split").of_many(units)


def lengths(found: Split) -> dict[str, float]:
    held: dict[str, float] = {}
    for start, end, variant in zip((0.0, *found.ends), found.ends, found.variants, strict=False):
        held[variant] = held.get(variant, 0.0) + end - start
    return held


def distance(one: dict[str, float], other: dict[str, float]) -> float:
    return sum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in one | other) / 2


def moved(one: Split, other: Split) -> float:
    """Measure where two splits differ, exactly: between two ends neither changes."""
    ends = np.unique([0.0, *one.ends, *other.ends])
    middles = (ends[:-1] + ends[1:]) / 2
    return float(np.diff(ends)[one.variants_of(middles) != other.variants_of(middles)].sum())


def test_a_million_units_fall_evenly(points: np.ndarray) -> None:
    assert points.min() >= 0
    assert points.max() < 1
    for bins in (2, 10, 1_000):
        counts = np.bincount((points * bins).astype(int), minlength=bins)
        assert stats.chisquare(counts).pvalue > 0.001
    weights = {"control": 90, "a": 9, "b": 1}
    names, counts = np.unique(split(weights).variants_of(points), return_counts=True)
    expected = np.array([weights[name] for name in names]) / 100 * MILLION
    assert stats.chisquare(counts, expected).pvalue > 0.001


def test_two_experiments_split_the_same_units_independently(units: list[str], points: np.ndarray) -> None:
    some, first = units[:200_000], points[:200_000]
    others = {
        "seed of another": Points("tees", "split").of_many(some),
        "seed but one letter": Points("seed.", "split").of_many(some),
        "taking part": Points("seed", "taking part").of_many(some),
    }
    for name, other in others.items():
        table = np.histogram2d(first, other, bins=10, range=[[0, 1], [0, 1]])[0]
        assert stats.chi2_contingency(table).pvalue > 0.001, name


def test_growing_the_allocation_keeps_everybody_in_it(units: list[str]) -> None:
    part, sides = Points("seed", "taking part"), Points("seed", "split")
    halves = split({"a": 1, "b": 1})
    seen: dict[str, str] = {}
    for allocation in (0.05, 0.2, 0.21, 1.0):
        now = {unit: halves.variant(sides.of(unit)) for unit in units[:20_000] if part.of(unit) < allocation}
        assert seen.items() <= now.items()
        assert len(now) == pytest.approx(20_000 * allocation, rel=0.1)
        seen = now


@given(weightings, weightings)
def test_a_change_of_weights_moves_the_fewest_points_there_can_be(
    before: dict[str, float], after: dict[str, float]
) -> None:
    old = split(before)
    new = resplit(old, after)
    assert distance(lengths(new), shares(after)) == pytest.approx(0, abs=1e-9)
    assert moved(old, new) == pytest.approx(distance(shares(before), shares(after)), abs=1e-9)


@given(weightings, st.lists(weightings, min_size=1, max_size=5))
def test_a_chain_of_changes_moves_the_fewest_each_time(
    before: dict[str, float], following: list[dict[str, float]]
) -> None:
    now = split(before)
    for weights in following:
        new = resplit(now, weights)
        assert moved(now, new) == pytest.approx(distance(lengths(now), shares(weights)), abs=1e-9)
        assert list(new.ends) == sorted(new.ends)
        assert new.ends[-1] == 1.0
        now = new


def test_the_optimum_is_less_than_what_moving_borders_would_cost(points: np.ndarray) -> None:
    thirds, ramped = {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 1}
    old = split(thirds)
    fewest = float(np.mean(old.variants_of(points) != resplit(old, ramped).variants_of(points)))
    borders = float(np.mean(old.variants_of(points) != split(ramped).variants_of(points)))
    assert fewest == pytest.approx(1 / 6, abs=0.002)
    assert borders == pytest.approx(1 / 4, abs=0.002)


def test_a_point_is_the_documented_hash_so_that_anybody_can_check_it() -> None:
    key = hashlib.blake2b(b"seed").digest()
    digest = hashlib.blake2b(b"u:7", digest_size=8, key=key, person=b"split").digest()
    assert Points("seed", "split").of("u:7") == (int.from_bytes(digest, "big") >> 11) / 2**53
    assert Points("seed", "split").of("u:7") == 0.14444025784576053


@pytest.mark.parametrize("weights", [{}, {"a": 0, "b": 0}, {"a": -1, "b": 2}])
def test_weights_that_split_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        split(weights)


def test_a_variant_of_weight_zero_gets_nobody_and_extremes_stay_shares() -> None:
    assert split({"a": 1, "b": 0}).variants == ("a",)
    assert shares({"a": 1e300, "b": 1e300}) == {"a": 0.5, "b": 0.5}
    assert sum(shares({"a": 5e-324, "b": 1e9}).values()) == 1
    assert Split((0.5, 1.0), ("a", "b")).variant(0.5) == "b"
