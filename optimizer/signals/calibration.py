"""Whether values predicted from early weeks hold for the units of later weeks, by event and source."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.core.signals.values import PRIOR_UNITS, calibration_slope
from optimizer.signals.answers import Calibration, CalibrationPoint
from optimizer.signals.cohorts import Cohort
from optimizer.signals.worths import Worths

LEARNED_SHARE = 0.6  # of the slices of weeks; the later ones are held out
MINIMUM_WEEKS = 3
MINIMUM_UNITS = 50  # in each half, for a point to be drawn


class _Cell(NamedTuple):
    # One event and source: what is shown, and value and units of those held out, by group of people.
    point: CalibrationPoint
    value: NDArray[np.float64]
    units: NDArray[np.float64]


def calibrate(worths: Worths, cohort: Cohort) -> Calibration:
    """Predict from the earlier weeks and compare with the later ones."""
    weeks = np.unique(worths.keys["week"])
    if not worths.valued.any():
        return _none("no_values", "No occurrence of the goal carries a value.")
    if len(weeks) < MINIMUM_WEEKS:
        said = f"Units first came in {len(weeks)} slices of weeks; {MINIMUM_WEEKS} are needed to hold some out."
        return _none("too_little_history", said)
    learned = max(1, round(len(weeks) * LEARNED_SHARE))
    later = worths.keys["week"] > weeks[learned - 1]
    cells = [
        cell for place, event in enumerate(cohort.events) for cell in _cells(worths, cohort, place, event, later)
    ]
    shape = (len(cells), int(later.sum()))
    found = calibration_slope(
        np.array([cell.point.predicted for cell in cells]),
        np.array([cell.value for cell in cells]).reshape(shape),
        np.array([cell.units for cell in cells]).reshape(shape),
    )
    if found is None:
        return _none("too_little_history", "Too few units did an event in both the earlier and the later weeks.")
    low, high = found.interval
    said = (
        f"Predicted from {learned} of {len(weeks)} slices of weeks, compared in the later ones: slope "
        f"{found.slope:.2f} ({low:.2f} to {high:.2f}), observed ÷ predicted {found.ratio:.2f}."
    )
    return Calibration(
        status="ok",
        detail=said,
        slope=found.slope,
        slope_error=found.standard_error,
        slope_interval=found.interval,
        ratio=found.ratio,
        points=[cell.point for cell in cells],
    )


def _cells(worths: Worths, cohort: Cohort, place: int, event: str, later: NDArray[np.bool_]) -> list[_Cell]:
    def mean(kept: NDArray[np.bool_], towards: float) -> float:
        units, value = worths.units_with[place][kept].sum(), worths.value_with[place][kept].sum()
        return float((value + PRIOR_UNITS * towards) / (units + PRIOR_UNITS))

    everybody = worths.units[~later].sum()
    if not everybody:
        return []
    overall = mean(~later, float(worths.value[~later].sum() / everybody))
    cells = []
    for code, source in enumerate(cohort.traits["source"].names):
        here = worths.keys["source"] == code
        value, units = (np.where(here, part[place], 0.0)[later] for part in (worths.value_with, worths.units_with))
        held_out = int(units.sum())
        if min(int(worths.units_with[place][here & ~later].sum()), held_out) < MINIMUM_UNITS:
            continue
        point = CalibrationPoint(
            event=event,
            source=source,
            units=held_out,
            predicted=mean(here & ~later, overall),
            observed=float(value.sum()) / held_out,
        )
        cells.append(_Cell(point, value, units))
    return cells


def _none(status: Literal["too_little_history", "no_values"], detail: str) -> Calibration:
    return Calibration(
        status=status, detail=detail, slope=None, slope_error=None, slope_interval=None, ratio=None, points=[]
    )
