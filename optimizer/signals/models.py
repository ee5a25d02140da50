"""Fits the likelihood model: regularised logistic regression, then calibrated on weeks it has not seen.

The only place that knows scikit-learn. What comes out is a list of coefficients, kept as JSON: a model that is read
back is numbers, never code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.likelihood import LinearModel, calibrate, log_loss, probabilities

PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C, inverse strength
SMALLEST_SPREAD = 1e-9
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Units at one or several moments.

    Attributes:
        rows: Features; shape (units, features).
        outcome: 1 where the goal was reached within the horizon; shape (units,).
    """

    rows: Array
    outcome: Array

    @property
    def conversions(self) -> int:
        """How many reached the goal."""
        return int(self.outcome.sum())

    def __add__(self, other: Sample) -> Sample:
        """Stack two samples."""
        return Sample(np.concatenate([self.rows, other.rows]), np.concatenate([self.outcome, other.outcome]))


def fit_likelihood(names: tuple[str, ...], training: Sample, calibration: Sample) -> LinearModel:
    """Fit on one sample, and choose the penalty and calibrate on a later one.

    Features that do not vary get no coefficient. Calibration (Platt 1999) moves the intercept and stretches all
    coefficients alike, so the ranking stays; where the later sample cannot tell how, the model stays as it is.

    Args:
        names: Of the features.
        training: To learn from; holds both outcomes.
        calibration: Later than the training sample.

    Raises:
        ValueError: The training sample holds one outcome only.
    """
    if not 0 < training.conversions < len(training.outcome):
        raise ValueError("training must hold both outcomes")
    means, spreads = training.rows.mean(axis=0), training.rows.std(axis=0)
    used = spreads > SMALLEST_SPREAD
    standard = (training.rows[:, used] - means[used]) / spreads[used]
    candidates = [_fit(names, standard, training.outcome, (means, spreads, used), penalty) for penalty in PENALTIES]
    losses = [log_loss(probabilities(one.log_odds(calibration.rows)), calibration.outcome) for one in candidates]
    best = candidates[int(np.argmin(losses))]
    found = calibrate(best.log_odds(calibration.rows), calibration.outcome)
    if found is None or found.slope <= 0:
        return best
    return LinearModel(
        best.features,
        tuple(found.slope * coefficient for coefficient in best.coefficients),
        found.intercept + found.slope * best.intercept,
    )


def _fit(
    names: tuple[str, ...], standard: Array, outcome: Array, scale: tuple[Array, Array, Array], penalty: float
) -> LinearModel:
    means, spreads, used = scale
    if not standard.shape[1]:
        rate = float(outcome.mean())
        return LinearModel(names, (0.0,) * len(names), float(np.log(rate / (1 - rate))))
    # Only training needs it: a second of every start and tens of megabytes otherwise.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    model = LogisticRegression(C=penalty, solver="lbfgs", max_iter=2_000)
    model.fit(standard, outcome)
    coefficients = np.zeros(len(names))
    coefficients[used] = model.coef_[0] / spreads[used]
    intercept = float(model.intercept_[0] - coefficients @ means)
    return LinearModel(names, tuple(float(one) for one in coefficients), intercept)
