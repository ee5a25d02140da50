"""Ratio metrics: the delta method against tea-tasting, against the textbook formula, and adjusted like a mean."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure, figures
from optimizer.core.stats.means import judge_means
from optimizer.core.stats.moments import Moments
from optimizer.core.stats.pairs import Place, pair_of, pair_up
from optimizer.core.stats.sequential import judge_sequentially

COLUMNS = ("orders", "sessions", "orders_before", "sessions_before")
RATIO = Measure("ratio", "orders", "sessions")


def sessions(seed: int, size: int = 3_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    habit = rng.beta(2, 8, size)
    counts = 1 + rng.poisson(2, (size, 2))
    orders = rng.binomial(counts, habit[:, None])
    return np.column_stack([orders[:, 0], counts[:, 0], orders[:, 1], counts[:, 1]]).astype(float)


def test_a_ratios_variance_is_the_delta_methods() -> None:
    units = sessions(1)
    found = figures(CrossMoments.of_units(COLUMNS, {"a": units, "b": sessions(2)}), RATIO)
    (m, d), cov = units[:, :2].mean(0), np.cov(units[:, :2].T)
    textbook = cov[0, 0] / d**2 + cov[1, 1] * m**2 / d**4 - 2 * cov[0, 1] * m / d**3
    assert found.mean[0] == pytest.approx(m / d)
    assert found.variance[0] == pytest.approx(textbook)


def test_a_ratio_agrees_with_tea_tasting() -> None:
    units = {"a": sessions(3), "b": sessions(4, 2_500)}
    row = CrossMoments.of_units(COLUMNS, units)
    ours = judge_means(pair_up([figures(row, RATIO)], [Place(0, 0, 1)], np.ones(1)), np.array([0.05]))
    rows = np.concatenate(list(units.values()))
    variants = np.repeat([0, 1], [len(arm) for arm in units.values()])
    table = pa.table({**dict(zip(COLUMNS, rows.T, strict=True)), "variant": variants})
    experiment = tt.Experiment(ratio=tt.RatioOfMeans("orders", "sessions", use_t=True))
    theirs = experiment.analyze(table)["ratio"]
    assert ours.estimate[0] == pytest.approx(theirs.effect_size)
    assert (ours.lower[0], ours.upper[0]) == pytest.approx((theirs.effect_size_ci_lower, theirs.effect_size_ci_upper))
    assert ours.p_value[0] == pytest.approx(theirs.pvalue)
    assert ours.names == ["delta_method+welch_t"]


def test_an_adjusted_ratio_keeps_its_estimand_and_is_sharper() -> None:
    row = CrossMoments.of_units(COLUMNS, {"a": sessions(5, 20_000), "b": sessions(6, 20_000)})
    plain = figures(row, RATIO)
    adjusted = figures(row, Measure("ratio", "orders", "sessions", covariates=("orders_before", "sessions_before")))
    assert adjusted.mean == pytest.approx(plain.mean, abs=0.01)
    assert (adjusted.variance < plain.variance).all()


def test_an_arm_without_a_denominator_has_no_ratio() -> None:
    units = sessions(7, 50)
    empty = units.copy()
    empty[:, 1] = 0
    found = figures(CrossMoments.of_units(COLUMNS, {"a": units, "b": empty}), RATIO)
    assert np.isnan(found.mean[1])
    with pytest.raises(ValueError, match="denominator"):
        figures(CrossMoments.of_units(COLUMNS, {"a": units}), Measure("ratio", "orders"))


def test_units_with_a_value_are_never_overstated() -> None:
    rng = np.random.default_rng(8)
    values = rng.pareto(1.5, 500) * (rng.random(500) < 0.1)
    row = CrossMoments.of_units(("x", "has"), {"a": np.column_stack([values, values > 0])})
    least = figures(row, Measure("mean", "x")).converters[0]
    assert 0 < least <= (values > 0).sum()
    assert figures(row, Measure("mean", "x", converters="has")).converters[0] == (values > 0).sum()


def test_many_pairs_at_once_are_what_each_is_alone() -> None:
    conversions = [(1_000, 100), (1_200, 150), (900, 95)]
    arms = [Moments.of_conversions(n, yes) for n, yes in conversions]
    row = CrossMoments.of_moments("x", dict(zip("abc", arms, strict=True)))
    together = pair_up([figures(row, Measure("proportion", "x"))], [Place(0, 0, 1), Place(0, 0, 2)], np.full(2, 3e3))
    judged = judge_sequentially(together, np.full(2, 0.05), 0.05)
    for place in (1, 2):
        alone = judge_sequentially(
            pair_of(arms[0], arms[place], "proportion", planned=3e3), np.array([0.05]), design_alpha=0.05
        )
        assert judged.p_value[place - 1] == alone.p_value[0]
        assert judged.upper[place - 1] == alone.upper[0]
        assert judged.lifts.lower[place - 1] == alone.lifts.lower[0]
