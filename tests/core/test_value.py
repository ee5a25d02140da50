"""One value a person: sums that agree with what people brought, on the weeks learned from and on later ones."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from optimizer.core.stats.effects import Interval
from optimizer.core.value import Cell, Check, Ladder, Sums, _never_falling, check, learn, reached

CART, CHECKOUT, VIDEO = 0, 1, 2


def cells(people: list[tuple[int, str, frozenset[int], float]]) -> list[Cell]:
    """Group (week, source, done, value) of people."""
    held: defaultdict[tuple[int, str, frozenset[int]], list[float]] = defaultdict(list)
    for week, source, done, value in people:
        held[week, source, done].append(value)
    return [Cell(*key, len(v), sum(v), sum(x * x for x in v)) for key, v in held.items()]


def shop(rng: np.random.Generator, weeks: range, people: int = 800) -> list[Cell]:
    """Who checked out buys at 50%, who only carted at 2%, who only watched a video at 5%; `paid` 1.6 times."""
    count = people * len(weeks)
    week = np.repeat(list(weeks), people)
    paid = rng.random(count) < 0.3
    rung = np.where(rng.random(count) < 0.6, np.where(rng.random(count) < 0.3, 2, 1), 0)
    chance = np.array([0.05, 0.02, 0.5])[rung] * np.where(paid, 1.6, 1.0)
    value = np.where(rng.random(count) < chance, rng.lognormal(3.5, 0.6, count), 0.0)
    done = (frozenset({VIDEO}), frozenset({CART}), frozenset({CART, CHECKOUT}))
    made = []
    for when, source, place in product(weeks, (False, True), range(3)):
        own = value[(week == when) & (paid == source) & (rung == place)]
        name = "paid" if source else "free"
        made.append(Cell(when, name, done[place], len(own), float(own.sum()), float((own**2).sum())))
    return made


def test_one_event_is_worth_what_those_who_did_it_brought() -> None:
    [ladder] = [learn([Cell(0, "x", frozenset({0}), 1_000, 5_000.0, 400_000.0)], 1)]
    assert ladder.overall == (5.0,)
    assert ladder.value(0, "x") == 5.0
    assert ladder.value(0, "never seen") == 5.0


def test_a_step_that_leads_to_another_reported_step_carries_only_what_that_one_does_not() -> None:
    # 1 000 carted, 400 of them checked out, 200 of those bought for 100.
    people = [
        Cell(0, "x", frozenset({CART}), 600, 0.0, 0.0),
        Cell(0, "x", frozenset({CART, CHECKOUT}), 400, 20_000.0, 2_000_000.0),
    ]
    ladder = learn(people, 2)
    assert (ladder.value(CART, "x"), ladder.value(CHECKOUT, "x")) == (0.0, 50.0)
    assert [sums.mean for sums in reached(people, 2)] == [
        20.0,
        50.0,
    ]  # told of both, 1 000·20 + 400·30 would be 32 000
    told = 600 * ladder.value(CART, "x") + 400 * ladder.value(CHECKOUT, "x")
    assert told == pytest.approx(20_000)


def test_what_is_learned_holds_on_later_weeks() -> None:
    slopes, ratios, covered = [], [], 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ladder = learn(shop(rng, range(6)), 3)
        found = check(ladder, shop(rng, range(6, 9)))
        assert found.slope is not None
        assert found.ratio is not None
        assert found.slope_interval is not None
        slopes.append(found.slope)
        ratios.append(found.ratio)
        covered += found.slope_interval.lower <= 1 <= found.slope_interval.upper
    assert 0.95 < np.mean(slopes) < 1.05
    assert 0.95 < np.mean(ratios) < 1.05
    assert covered >= 35  # of 40; the slope also carries the error of what was learned


def test_telling_each_event_its_own_mean_would_not_hold() -> None:
    # The same shop, each person told the mean of everybody who reached their best event: the sum is far too high.
    rng = np.random.default_rng(1)
    people = shop(rng, range(6))
    means = [sums.mean for sums in reached(people, 3)]
    naive = sum(cell.units * max(means[place] for place in cell.done) for cell in people)
    assert naive > 1.1 * sum(cell.value for cell in people)


def test_sources_that_do_not_differ_are_drawn_together_and_those_that_do_are_not() -> None:
    rng = np.random.default_rng(2)

    def people(rates: dict[str, float]) -> list[Cell]:
        return cells(
            [(0, s, frozenset({0}), 50.0 * (rng.random() < rate)) for s, rate in rates.items() for _ in range(400)]
        )

    alike = learn(people(dict.fromkeys("abcdef", 0.1)), 1)
    apart = learn(people({"a": 0.02, "b": 0.3, "c": 0.1}), 1)
    spread = [value for (value,) in alike.by_source.values()]
    assert max(spread) - min(spread) < 2.0
    assert apart.value(0, "b") > 4 * apart.value(0, "a")


def test_two_people_who_bought_nothing_do_not_make_a_source_worthless() -> None:
    people = [
        Cell(0, "many", frozenset({0}), 250, 10_000.0, 500_000.0),
        Cell(0, "few", frozenset({0}), 2, 0.0, 0.0),
    ]
    ladder = learn(people, 1)
    assert ladder.value(0, "few") == ladder.value(0, "never seen") == pytest.approx(10_000 / 252)


def test_the_slope_is_the_regressions_with_white_errors() -> None:
    rng = np.random.default_rng(3)
    told = rng.choice([1.0, 2.0, 5.0], 500)
    brought = rng.poisson(told) * 1.2
    ladder = Ladder((0, 1, 2), (1.0, 2.0, 5.0), {})
    place = {1.0: 0, 2.0: 1, 5.0: 2}
    found = check(ladder, cells([(0, "x", frozenset({place[t]}), v) for t, v in zip(told, brought, strict=True)]))
    fit = sm.OLS(brought, sm.add_constant(told)).fit(cov_type="HC0")
    assert found.slope == pytest.approx(fit.params[1])
    assert found.slope_interval == pytest.approx(tuple(fit.conf_int()[1]))
    assert found.ratio == pytest.approx(brought.sum() / told.sum())


def test_rungs_never_fall_as_in_scikit_learns_isotonic_regression() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        values, weights = rng.uniform(0, 10, 8), rng.integers(1, 50, 8)
        expected = IsotonicRegression().fit_transform(np.arange(8), values, sample_weight=weights)
        assert _never_falling(list(values), list(weights)) == pytest.approx(list(expected))


def test_what_is_surely_off_is_called_off() -> None:
    good = Check(1, 1.0, 1.0, 1.0, None, None, None)
    assert not good.is_off
    assert not good._replace(ratio_interval=Interval(0.5, 0.95)).is_off
    ladder = Ladder((0,), (10.0,), {})
    assert check(ladder, [Cell(0, "x", frozenset({0}), 10_000, 50_000.0, 260_000.0)]).is_off


def test_nobody_and_nothing_brought() -> None:
    assert learn([], 2).overall == (0.0, 0.0)
    nothing = learn([Cell(0, "x", frozenset({0}), 5, 0.0, 0.0)], 1)
    assert nothing.overall == (0.0,)
    found = check(nothing, [Cell(1, "x", frozenset({0}), 5, 9.0, 81.0)])
    assert (found.ratio, found.slope, found.actual) == (None, None, 9.0)
    assert check(nothing, []).units == 0
    assert Sums(1, 3.0, 9.0).lower_bound is None


people = st.builds(
    lambda week, source, done, units, mean, spread: Cell(
        week, source, done, units, units * mean, units * (mean * mean + spread)
    ),
    st.integers(0, 3),
    st.sampled_from("ab"),
    st.sets(st.integers(0, 2), min_size=1).map(frozenset),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)


@given(st.lists(people, max_size=12))
def test_sums_agree_rungs_never_fall_and_every_figure_is_a_number(held: list[Cell]) -> None:
    ladder = learn(held, 3)
    for values in (ladder.overall, *ladder.by_source.values()):
        assert all(math.isfinite(one) and one >= 0 for one in values)
        assert list(values) == sorted(values)
    found = check(ladder, held)
    if found.actual > 0:
        assert found.predicted == pytest.approx(found.actual)
    assert all(math.isfinite(x) for one in (found.ratio_interval, found.slope_interval) if one for x in one)
