from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from optimizer.core.signals.logistic import adjusted_odds_ratio, fit_logistic, fit_ridge, one_hot
from optimizer.core.signals.strata import Strata


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(60), rng.integers(0, 2, (60, 4))]).astype(float)
    units = rng.integers(1, 200, 60).astype(float)
    chance = 1 / (1 + np.exp(-(design @ np.array([-2, 0.8, -0.5, 0.1, 0.4]))))
    return design, units, rng.binomial(units.astype(int), chance).astype(float)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_estimates_and_errors_are_statsmodels(seed: int) -> None:
    design, units, converted = drawn(seed)
    fit = fit_logistic(design, units, converted)
    reference = sm.GLM(np.column_stack([converted, units - converted]), design, family=sm.families.Binomial()).fit()
    assert fit is not None
    assert fit.estimates == pytest.approx(reference.params, abs=1e-6)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(reference.bse, rel=1e-5)


@pytest.mark.parametrize("penalty", [0.3, 5.0])
def test_the_ridge_is_scikit_learns(penalty: float) -> None:
    design, units, converted = drawn(4)
    ours = fit_ridge(sparse.csr_array(design), units, converted, penalty)
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000)
    rows, outcome = np.concatenate([design, design])[:, 1:], np.repeat([1, 0], len(design))
    model.fit(rows, outcome, sample_weight=np.concatenate([converted, units - converted]))
    assert ours == pytest.approx([model.intercept_[0], *model.coef_[0]], abs=1e-3)


def test_the_ridge_stays_finite_where_all_or_none_convert() -> None:
    design, units, _ = drawn(5)
    for converted in (units, np.zeros(len(units))):
        assert np.isfinite(fit_ridge(sparse.csr_array(design), units, converted, 1.0)).all()


def test_the_adjusted_odds_ratio_holds_factors_alike() -> None:
    # Odds ratio e^0.7 within every level of both factors.
    rng, sizes = np.random.default_rng(1), (3, 4)
    levels = [level.ravel() for level in np.meshgrid(np.arange(3), np.arange(4), indexing="ij")]
    log_odds = -2 + 0.5 * levels[0] - 0.3 * levels[1]
    with_, without = (rng.integers(50_000, 100_000, sizes[0] * sizes[1]).astype(float) for _ in range(2))
    chance = [1 / (1 + np.exp(-(log_odds + effect))) for effect in (0.7, 0.0)]
    found = adjusted_odds_ratio(Strata(with_, with_ * chance[0], without, without * chance[1]), *levels)
    assert found is not None
    assert found.estimate == pytest.approx(0.7, abs=1e-6)


def test_no_fit_is_none_rather_than_a_number() -> None:
    design = np.column_stack([np.ones(2), [0.0, 1.0]])
    assert fit_logistic(design, np.array([10.0, 10.0]), np.array([5.0, 10.0])) is None  # separated
    assert fit_logistic(np.ones((2, 2)), np.array([10.0, 10.0]), np.array([5.0, 6.0])) is None  # says the same twice
    nothing = Strata(np.array([10.0]), np.array([0.0]), np.array([10.0]), np.array([0.0]))
    assert adjusted_odds_ratio(nothing, np.zeros(1, np.int64)) is None


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="rows"):
        fit_logistic(np.ones((2, 1)), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="between"):
        fit_logistic(np.ones((1, 1)), np.ones(1), np.full(1, 2.0))


def test_one_hot_leaves_the_most_frequent_level_out() -> None:
    columns = one_hot(np.array([2, 2, 5]), np.array([0, 1, 1]))
    assert columns.tolist() == [[1, 0, 1], [1, 0, 0], [1, 1, 0]]
    assert math.prod(columns.shape) == 9
