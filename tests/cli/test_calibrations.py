"""Slopes of many shops put together: a regression with a mean for each shop, and the error of shops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm

from optimizer.cli._calibrations import ShopCalibration, calibration_of, put_together
from optimizer.signals.answers import Calibration, CalibrationPoint


def shop(rng: np.random.Generator) -> tuple[Calibration, np.ndarray]:
    """One shop's points, as calibration and as rows of (units, predicted, observed)."""
    predicted, units = rng.uniform(1, 9, 7), rng.integers(50, 400, 7)
    observed = rng.normal(0, 1) + rng.normal(1, 0.1) * predicted + rng.normal(0, 0.5, 7)
    points = [
        CalibrationPoint(event=f"e{place}", source="x", units=int(n), predicted=float(p), observed=float(o))
        for place, (n, p, o) in enumerate(zip(units, predicted, observed, strict=True))
    ]
    slope = float(np.polyfit(predicted, observed, 1, w=np.sqrt(units))[0])
    made = Calibration(
        status="ok",
        detail="",
        slope=slope,
        slope_error=0.05,
        slope_interval=(slope - 0.1, slope + 0.1),
        ratio=1.0,
        points=points,
    )
    return made, np.column_stack([units, predicted, observed])


def test_the_pooled_slope_is_a_regression_clustered_by_shop() -> None:
    rng = np.random.default_rng(8)
    made, rows = zip(*(shop(rng) for _ in range(12)), strict=True)
    shops = [one for calibration in made if (one := calibration_of(calibration)) is not None]
    assert [each.shared / each.spread for each in shops] == pytest.approx([each.slope for each in shops])
    found = put_together(shops)
    number = np.repeat(np.arange(12), 7)
    units, predicted, observed = np.vstack(rows).T
    design = np.column_stack([predicted, *(number == place for place in range(12))]).astype(float)
    fit = sm.WLS(observed, design, weights=units).fit(
        cov_type="cluster", cov_kwds={"groups": number, "use_correction": False}, use_t=True
    )
    assert found is not None
    assert found.pooled_interval is not None
    assert found.pooled == pytest.approx(fit.params[0])
    half = (found.pooled_interval[1] - found.pooled_interval[0]) / 2
    assert half == pytest.approx(2.200985160082949 * fit.bse[0] * math.sqrt(12 / 11))  # t(11)
    assert found.shops == 12
    assert found.own_error == pytest.approx(0.05)


def test_what_is_inside_and_what_is_surely_outside_are_counted() -> None:
    def one(slope: float, reach: float) -> ShopCalibration:
        return ShopCalibration(slope, reach / 2, (slope - reach, slope + reach), 1.0, slope, 1.0)

    found = put_together([one(1.0, 0.1), one(1.2, 0.2), one(1.3, 0.1), one(0.7, 0.1)])
    assert found is not None
    assert (found.inside, found.surely_outside) == (0.25, 0.5)
    alone = put_together([one(1.0, 0.1)])
    assert alone is not None
    assert (alone.pooled, alone.pooled_interval, alone.deviation) == (1.0, None, None)
    assert put_together([]) is None


def test_a_shop_without_a_slope_is_left_out() -> None:
    nothing = Calibration(
        status="no_values", detail="", slope=None, slope_error=None, slope_interval=None, ratio=None, points=[]
    )
    assert calibration_of(nothing) is calibration_of(None) is None
