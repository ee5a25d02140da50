"""Whether one event's lift holds over weeks and in every source and on every device, from the one tally."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.signals.stability import Drift, Reversal, Slice, drift, reversal, slices
from optimizer.core.signals.strata import Strata
from optimizer.signals.answers import DriftFigures, ReversalFigures, SliceFigures, Stability
from optimizer.signals.cohorts import TRAITS, Cohort, week_label
from optimizer.signals.tallies import LEVELS, Tally


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What was found.

    Attributes:
        weeks: The lift of each slice of weeks, oldest first.
        by_trait: The lift of each source and each device.
        drift: Over weeks.
        reversals: Dimensions within which the sign turns.
    """

    weeks: Sequence[Slice]
    by_trait: Mapping[str, Sequence[Slice]]
    drift: Drift
    reversals: tuple[Reversal, ...]

    @property
    def confounders(self) -> tuple[str, ...]:
        """Name the dimensions that change the lift, and so have to be held alike."""
        return tuple(turned.dimension for turned in self.reversals if turned.kind != "opposed")

    def shown(self) -> Stability:
        """Lay it out for the API."""
        return Stability(
            stable=not self.drift.flagged and not self.reversals,
            weeks=_figures(self.weeks),
            sources=_figures(self.by_trait["source"]),
            devices=_figures(self.by_trait["device"]),
            drift=DriftFigures(
                change=self.drift.change,
                p_value=self.drift.p_value,
                heterogeneity_p_value=self.drift.heterogeneity_p_value,
                i_squared=self.drift.i_squared,
                flagged=self.drift.flagged,
            ),
            sign_flips=[
                ReversalFigures(
                    dimension=turned.dimension,
                    kind=turned.kind,
                    overall=turned.overall,
                    within=turned.within,
                    within_interval=turned.within_interval,
                    opposed=list(turned.opposed),
                )
                for turned in self.reversals
            ],
        )


def steadiness(tally: Tally, cohort: Cohort, place: int, kept: NDArray[np.bool_]) -> Steadiness:
    """Look at one event.

    Args:
        tally: Every event in every stratum.
        cohort: Who was looked at.
        place: The event's.
        kept: Cells of the group in question.
    """
    weeks = _parts(tally, place, kept, "week", lambda code: week_label(cohort, code))
    overall = tally.strata(place, kept, LEVELS)[0]
    by_trait, turned = {}, []
    for trait in TRAITS:
        names = cohort.traits[trait].names
        parts = _parts(tally, place, kept, trait, names.__getitem__)
        by_trait[trait] = slices(parts)
        within = tally.strata(place, kept, (*LEVELS, trait))[0]
        turned.append(reversal(trait, overall, within, parts))
    return Steadiness(
        weeks=slices(weeks),
        by_trait=by_trait,
        drift=drift(list(weeks.values())),
        reversals=tuple(found for found in turned if found is not None),
    )


def _parts(
    tally: Tally, place: int, kept: NDArray[np.bool_], key: str, label: Callable[[int], str]
) -> dict[str, Strata]:
    values = tally.keys[key]
    return {
        label(int(code)): tally.strata(place, kept & (values == code), LEVELS)[0] for code in np.unique(values[kept])
    }


def _figures(found: Sequence[Slice]) -> list[SliceFigures]:
    return [
        SliceFigures(label=one.label, converters=one.converted, lift=one.lift, lift_interval=one.lift_interval)
        for one in found
    ]
