"""Covariate adjustment against ordinary least squares with a dummy per arm, and against tea-tasting."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
import tea_tasting as tt
from numpy.typing import NDArray

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure, figures
from optimizer.core.stats.means import judge_means
from optimizer.core.stats.pairs import Place, pair_up

COLUMNS = ("revenue", "before", "newcomer")
Units = dict[str, NDArray[np.float64]]


def shop(seed: int, sizes: tuple[int, ...] = (900, 1_100, 700)) -> Units:
    """Revenue that follows earlier revenue; a third are newcomers, who carry the mean and an indicator."""
    rng = np.random.default_rng(seed)
    arms = {}
    for place, size in enumerate(sizes):
        before = rng.gamma(2.0, 10.0, size)
        revenue = 5 + 0.8 * before + rng.normal(0, 8, size) + place
        newcomer = (rng.random(size) < 1 / 3).astype(float)
        arms["abc"[place]] = np.column_stack([revenue, np.where(newcomer == 1, 20.0, before), newcomer])
    return arms


def test_theta_is_the_coefficient_of_a_regression_with_a_dummy_per_arm() -> None:
    units = shop(1)
    found = figures(
        CrossMoments.of_units(COLUMNS, units), Measure("mean", "revenue", covariates=("before", "newcomer"))
    )
    rows = np.concatenate(list(units.values()))
    dummies = np.repeat(np.eye(3), [len(arm) for arm in units.values()], axis=0)
    fit = sm.OLS(rows[:, 0], np.column_stack([dummies, rows[:, 1:]])).fit()
    centre = rows[:, 1:].mean(0)
    for place, arm in enumerate(units.values()):
        adjusted = arm[:, 0] - (arm[:, 1:] - centre) @ fit.params[3:]
        assert found.mean[place] == pytest.approx(adjusted.mean())
        assert found.variance[place] == pytest.approx(adjusted.var(ddof=1))
        assert found.covariance[place] == pytest.approx(np.cov(adjusted, arm[:, 0])[0, 1])
        assert found.base[place] == pytest.approx(arm[:, 0].mean())
    assert found.adjusted
    assert (found.variance < 0.9 * found.base_variance).all()


def test_one_covariate_agrees_with_tea_tasting() -> None:
    units = {name: arm[:, :2] for name, arm in shop(2, (800, 900)).items()}
    row = CrossMoments.of_units(COLUMNS[:2], units)
    measure = Measure("mean", "revenue", covariates=("before",))
    ours = judge_means(pair_up([figures(row, measure)], [Place(0, 0, 1)], np.ones(1)), np.array([0.05]))
    rows = np.concatenate(list(units.values()))
    variants = np.repeat([0, 1], [len(arm) for arm in units.values()])
    table = pa.table({**dict(zip(COLUMNS[:2], rows.T, strict=True)), "variant": variants})
    theirs = tt.Experiment(revenue=tt.Mean("revenue", "before", use_t=False)).analyze(table)["revenue"]
    # They take θ from the variances of all units together, we from those within arms: the same to a part in n.
    assert ours.estimate[0] == pytest.approx(theirs.effect_size, rel=5e-3)
    assert ours.standard_error[0] == pytest.approx(
        (theirs.effect_size_ci_upper - theirs.effect_size_ci_lower) / 2 / 1.959964, rel=1e-3
    )


def test_the_relative_base_is_the_unadjusted_control() -> None:
    units = shop(3)
    row = CrossMoments.of_units(COLUMNS, units)
    found = figures(row, Measure("mean", "revenue", covariates=("before",)))
    answer = judge_means(pair_up([found], [Place(0, 0, 1)], np.ones(1)), np.array([0.05]))
    assert answer.lifts.estimate[0] == pytest.approx(answer.estimate[0] / units["a"][:, 0].mean())


def test_with_the_indicator_any_constant_does_for_the_mean() -> None:
    measure = Measure("mean", "revenue", covariates=("before", "newcomer"))
    units = shop(7)
    by_mean = figures(CrossMoments.of_units(COLUMNS, units), measure)
    for arm in units.values():
        arm[:, 1] = np.where(arm[:, 2] == 1, 0.0, arm[:, 1])
    by_zero = figures(CrossMoments.of_units(COLUMNS, units), measure)
    assert by_zero.mean == pytest.approx(by_mean.mean)
    assert by_zero.variance == pytest.approx(by_mean.variance)


def test_a_constant_covariate_changes_nothing_and_says_so() -> None:
    units = shop(4)
    for arm in units.values():
        arm[:, 1] = 1 / 3
    row = CrossMoments.of_units(COLUMNS, units)
    found = figures(row, Measure("mean", "revenue", covariates=("before",)))
    assert (found.status, found.adjusted) == ("constant_covariate", False)
    assert found.detail
    assert found.mean == pytest.approx(found.base)


def test_two_covariates_that_say_the_same_share_the_coefficient() -> None:
    units = {name: np.column_stack([arm[:, :2], 3 * arm[:, 1]]) for name, arm in shop(5).items()}
    row = CrossMoments.of_units(("revenue", "before", "copy"), units)
    once = figures(row, Measure("mean", "revenue", covariates=("before",)))
    twice = figures(row, Measure("mean", "revenue", covariates=("before", "copy")))
    assert twice.mean == pytest.approx(once.mean)
    assert twice.variance == pytest.approx(once.variance)


def test_too_few_units_and_unknown_products_stay_unadjusted() -> None:
    few = CrossMoments.of_units(COLUMNS[:2], {name: arm[:4, :2] for name, arm in shop(6).items()})
    assert figures(few, Measure("mean", "revenue", covariates=("before",))).status == "too_few_units"
    known = CrossMoments.of_sums(
        "ab", COLUMNS[:2], [50, 50], [[90, 10], [80, 12]], {("revenue", "revenue"): [900, 800]}
    )
    found = figures(known, Measure("mean", "revenue", covariates=("before",)))
    assert found.status == "unknown_products"
    assert np.isfinite(found.mean).all()


@pytest.mark.parametrize(
    ("control", "status"), [([[0.0, 3.0]], "too_few_units"), ([[0.0, 3.0]] * 40, "constant_covariate")]
)
def test_an_arm_without_any_variance_leaves_the_others_unadjusted(control: list[list[float]], status: str) -> None:
    rng = np.random.default_rng(2)
    before = rng.poisson(2, 60).astype(float)
    treated = np.column_stack([before + rng.poisson(1, 60), before])
    row = CrossMoments.of_units(["value", "before"], {"a": np.array(control), "b": treated})
    found = figures(row, Measure("mean", "value", covariates=("before",)))
    assert (found.adjusted, found.status) == (False, status)
