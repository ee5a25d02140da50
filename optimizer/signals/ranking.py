"""From counts to a ranking: every event's figures, what it adds, whether it holds, and what to do with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.core.signals.advice import Advice, Evidence, advise, role_of
from optimizer.core.signals.fourfold import Figures
from optimizer.core.signals.increments import Increment
from optimizer.core.signals.logistic import adjusted_odds_ratio
from optimizer.core.signals.strata import LogRatio, stratified_figures
from optimizer.core.signals.values import Worth, expected_worth
from optimizer.core.stats.multiplicity import benjamini_hochberg
from optimizer.signals.answers import Incremental, LandmarkFigures, NaiveFigures, Signal
from optimizer.signals.cohorts import Cohort, group_label
from optimizer.signals.increments import measure_increments
from optimizer.signals.outcomes import Outcome
from optimizer.signals.samples import Sample
from optimizer.signals.steadiness import Steadiness, steadiness
from optimizer.signals.tallies import LEVELS, Tally
from optimizer.signals.worths import Worths

ALPHA = 0.05
ORDER = {"promote": 0, "keep": 1, "watch": 2, "drop": 3}
Kept = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Material:
    """All that was counted.

    Attributes:
        cohort: Who was looked at.
        tally: Every event in every stratum.
        outcomes: Of converters, per (group, event's place).
        worths: What units brought.
        sample: For the out-of-fold models; None where nobody converted.
        kinds: From the catalog, by event.
        others: At other landmarks, by hours; empty unless the one asked for keeps few converters.
    """

    cohort: Cohort
    tally: Tally
    outcomes: Mapping[tuple[int, int], Outcome]
    worths: Worths
    sample: Sample | None
    kinds: Mapping[str, str | None]
    others: Mapping[float, Tally] = dataclasses.field(default_factory=dict)


@dataclass(slots=True)
class _Row:
    # One event in one group, as it fills up.
    place: int
    group: int
    kept: Kept
    figures: Figures
    adjusted: LogRatio | None
    held: Steadiness | None
    alike_in: tuple[str, ...]
    reach: float
    prerequisite_share: float
    q_value: float | None = None


def rank(material: Material) -> list[Signal]:
    """Rank every event in every group, best first."""
    groups = [int(code) for code in np.unique(material.tally.keys["group"])]
    rows = [row for group in groups for row in _rows_of(material, group)]
    tested = [row for row in rows if row.figures.p_value is not None]
    for row, q_value in zip(tested, benjamini_hochberg([row.figures.p_value or 0.0 for row in tested]), strict=True):
        row.q_value = q_value
    signals = []
    for group in groups:
        own = [row for row in rows if row.group == group]
        increments = _increments(material, group, own)
        signals += [_signal(material, row, increments.get(material.cohort.events[row.place])) for row in own]
    return sorted(signals, key=lambda signal: (ORDER[signal.recommendation], -(signal.phi or 0.0), signal.event))


def _rows_of(material: Material, group: int) -> list[_Row]:
    tally, kept = material.tally, material.tally.keys["group"] == group
    opened, converters = tally.total("opens", kept), tally.total("converters", kept)
    rows = []
    for place in range(len(material.cohort.events)):
        if not tally.ever[place][kept].sum():
            continue
        comparable = stratified_figures(tally.strata(place, kept, LEVELS)[0]).p_value is not None
        held = steadiness(tally, material.cohort, place, kept) if comparable else None
        alike_in = (*LEVELS, *(held.confounders if held else ()))
        strata, levels = tally.strata(place, kept, alike_in)
        found = stratified_figures(strata)
        outcome = material.outcomes.get((group, place), Outcome())
        rows.append(
            _Row(
                place,
                group,
                kept,
                found,
                adjusted_odds_ratio(strata, *levels.values()) if comparable else None,
                held,
                alike_in,
                int(tally.done_units[place][kept].sum()) / opened if opened else 0.0,
                outcome.before_goal / converters if converters else 0.0,
            )
        )
    return rows


def _increments(material: Material, group: int, rows: Sequence[_Row]) -> dict[str, Increment]:
    # Those that could be promoted compete; the others only learn what they would add.
    if material.sample is None:
        return {}
    names = material.cohort.events
    tested = [
        row for row in rows if row.q_value is not None and role_of(row.reach, row.prerequisite_share) != "everybody"
    ]
    able = [
        names[row.place]
        for row in tested
        if role_of(row.reach, row.prerequisite_share) == "predictor"
        and (row.q_value or 0.0) <= ALPHA
        and (row.figures.lift or 0.0) > 1
    ]
    sample = material.sample.of_group(group)
    return measure_increments(sample, names, able, [names[row.place] for row in tested])


def _signal(material: Material, row: _Row, increment: Increment | None) -> Signal:
    name, outcome = material.cohort.events[row.place], material.outcomes.get((row.group, row.place), Outcome())
    advice, held = _advice(row, increment), row.held
    worth = _worth(material.worths, row)
    shown = {key: getattr(row.figures, key) for key in Signal.model_fields if key in Figures.__dataclass_fields__}
    return Signal(
        **shown,
        event=name,
        kind=material.kinds.get(name),
        group=group_label(material.cohort, row.group) if material.cohort.by else None,
        role=advice.role,
        stratified_by=list(row.alike_in),
        units=int(material.tally.done_units[row.place][row.kept].sum()),
        reach=row.reach,
        adjusted_odds_ratio=math.exp(row.adjusted.estimate) if row.adjusted else None,
        adjusted_odds_ratio_interval=row.adjusted.interval() if row.adjusted else None,
        q_value=row.q_value,
        incremental_auc=increment.beyond.auc if increment else None,
        incremental=_incremental(increment) if increment else None,
        stability=held.shown() if held else None,
        by_landmark=_at_others(material, row),
        median_hours_to_goal=None if outcome.median_seconds is None else outcome.median_seconds / 3600,
        expected_value=worth.expected if worth else None,
        expected_value_lower=worth.lower if worth else None,
        funnel_step=advice.role == "funnel_step",
        naive=_naive(material.tally, row),
        recommendation=advice.recommendation,
        reasons=list(advice.reasons),
    )


def _advice(row: _Row, increment: Increment | None) -> Advice:
    held = row.held
    return advise(
        Evidence(
            figures=row.figures,
            q_value=row.q_value,
            reach=row.reach,
            prerequisite_share=row.prerequisite_share,
            increment=increment,
            drift=held.drift if held else None,
            reversals=held.reversals if held else (),
        )
    )


def _worth(worths: Worths, row: _Row) -> Worth | None:
    kept = worths.keys["group"] == row.group
    if not worths.valued[kept].any():
        return None
    overall = float(worths.value[kept].sum()) / int(worths.units[kept].sum())
    value, squares = (float(part[row.place][kept].sum()) for part in (worths.value_with, worths.squares_with))
    return expected_worth(value, squares, int(worths.units_with[row.place][kept].sum()), overall)


def _incremental(increment: Increment) -> Incremental:
    beyond, alone = increment.beyond, increment.alone
    return Incremental(
        auc=beyond.auc,
        log_loss_bits=beyond.log_loss,
        log_loss_bits_lower=beyond.lower if math.isfinite(beyond.lower) else None,
        auc_alone=alone.auc,
        log_loss_bits_alone=alone.log_loss,
        taken_up=increment.taken_up,
        covered_by=increment.covered_by,
    )


def _naive(tally: Tally, row: _Row) -> NaiveFigures:
    everybody = tally.total("opens", row.kept) + tally.total("early", row.kept)
    with_, bought = (int(part[row.place][row.kept].sum()) for part in (tally.ever, tally.ever_converters))
    without = everybody - with_
    rate_with = bought / with_ if with_ else None
    rate_without = (tally.total("converters", row.kept) - bought) / without if without else None
    lift = rate_with / rate_without if rate_with is not None and rate_without else None
    return NaiveFigures(rate_with=rate_with, rate_without=rate_without, lift=lift)


def _at_others(material: Material, row: _Row) -> list[LandmarkFigures]:
    found = []
    for hours, tally in material.others.items():
        kept = tally.keys["group"] == row.group
        figures = stratified_figures(tally.strata(row.place, kept, LEVELS)[0])
        found.append(
            LandmarkFigures(
                landmark_hours=hours,
                units=int(tally.done_units[row.place][kept].sum()),
                lift=figures.lift,
                lift_interval=figures.lift_interval,
            )
        )
    return found
