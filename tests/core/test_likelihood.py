"""Judging probabilities: against scikit-learn, statsmodels and the published example."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from optimizer.core.likelihood import (
    LinearModel,
    area_interval,
    area_under_curve,
    brier_score,
    calibrate,
    calibration_bins,
    conversion_ratio,
    log_loss,
    probabilities,
    strongest,
)

RNG = np.random.default_rng(3)
LOG_ODDS = np.round(RNG.normal(-2, 1, 2_000), 1)  # rounded, so that ties occur
OUTCOME = (RNG.random(2_000) < probabilities(0.3 + 0.8 * LOG_ODDS)).astype(float)


def test_scores_equal_scikit_learns() -> None:
    predicted = probabilities(LOG_ODDS)
    assert area_under_curve(LOG_ODDS, OUTCOME) == pytest.approx(roc_auc_score(OUTCOME, LOG_ODDS))
    assert brier_score(predicted, OUTCOME) == pytest.approx(brier_score_loss(OUTCOME, predicted))
    assert log_loss(predicted, OUTCOME) == pytest.approx(sklearn_log_loss(OUTCOME, predicted) / np.log(2))


def test_calibration_equals_a_logistic_regression_by_statsmodels() -> None:
    fit = sm.GLM(OUTCOME, sm.add_constant(LOG_ODDS), family=sm.families.Binomial()).fit()
    found = calibrate(LOG_ODDS, OUTCOME)
    assert found is not None
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params), abs=1e-6)
    assert tuple(found.slope_interval) == pytest.approx(tuple(fit.conf_int()[1]), abs=1e-5)


def test_the_interval_of_the_area_is_hanley_and_mcneils() -> None:
    # Their table 1: ratings of 58 normal and 51 abnormal tomograms, area .893, standard error .032.
    low, high = area_interval(0.893, 51, 58)
    assert (high - low) / 2 / 1.959964 == pytest.approx(0.032, abs=0.001)


def test_the_interval_of_the_area_covers() -> None:
    rng = np.random.default_rng(5)
    truth, covered = 0.7602, 0  # Φ(1/√2)
    for _ in range(400):
        score = np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 300)])
        outcome = np.repeat([1.0, 0.0], [60, 300])
        area = area_under_curve(score, outcome)
        assert area is not None
        low, high = area_interval(area, 60, 300)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("outcome", [np.zeros(5), np.ones(5)])
def test_all_or_none_is_no_area_and_no_calibration(outcome: np.ndarray) -> None:
    assert area_under_curve(np.arange(5.0), outcome) is None
    assert calibrate(np.arange(5.0), outcome) is None


def test_what_has_no_finite_fit_has_none() -> None:
    assert calibrate(np.zeros(4), np.array([0.0, 1, 0, 1])) is None
    assert calibrate(np.array([-1.0, -1, 1, 1]), np.array([0.0, 0, 1, 1])) is None


def test_observed_over_predicted_covers_one_where_predictions_hold() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(300):
        predicted = rng.uniform(0.01, 0.3, 500)
        ratio, (low, high) = conversion_ratio(predicted, (rng.random(500) < predicted).astype(float))
        assert low < ratio < high
        covered += low <= 1 <= high
    assert 0.92 <= covered / 300 <= 0.98
    assert conversion_ratio(np.full(4, 0.5), np.ones(4))[0] == 2.0


def test_bins_hold_everybody_once_and_ties_together() -> None:
    predicted = np.repeat([0.1, 0.2, 0.7], [50, 30, 20])
    outcome = np.concatenate([np.repeat([1.0, 0.0], [n, m]) for n, m in ((5, 45), (6, 24), (14, 6))])
    found = calibration_bins(predicted, outcome)
    assert [(one.units, one.observed) for one in found] == [(50, 0.1), (30, 0.2), (20, 0.7)]
    assert all(one.interval.lower < one.observed < one.interval.upper for one in found)
    assert calibration_bins(np.array([]), np.array([])) == []


def test_the_strongest_features_are_those_that_move_most() -> None:
    model = LinearModel(("a", "b", "c"), (1.0, -0.1, 0.0), 0.0)
    assert strongest(model, [0.1, 5.0, 9.0]) == [("b", -0.5), ("a", 0.1)]


def test_a_model_that_cannot_be_computed_with_is_refused() -> None:
    with pytest.raises(ValueError, match="as many"):
        LinearModel(("a",), (), 0.0)
    with pytest.raises(ValueError, match="finite"):
        LinearModel(("a",), (float("nan"),), 0.0)
    with pytest.raises(ValueError, match="at least 1"):
        area_interval(0.5, 0, 5)
