"""A result split by a dimension: to find where something is broken, never to find where something works.

A unit's value is that of its latest event at or before its first exposure, or, without one, of its first event after
it: what the experiment itself may have changed counts only where nothing else is known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import ibis
import ibis.expr.types as ir

from optimizer.core.stats.comparison import Case, Design, compare_cases
from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.decisions import Check
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import holm
from optimizer.core.stats.quantiles import QUANTILE
from optimizer.core.stats.srm import RED_BELOW, sample_ratio_by_segment
from optimizer.core.stats.words import p_words
from optimizer.experiments.answers import DimensionAnswer, SplitValue
from optimizer.experiments.cohort import UNIT_COLUMNS, clean_people
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.look import Examined, as_good, metric_answer, roles_of, weights_of
from optimizer.experiments.metrics import Resolved
from optimizer.experiments.quantiles import nobody, read_quantiles, summable
from optimizer.experiments.scan import Scan, sum_up
from optimizer.storage.events import EventStore, naive_utc
from optimizer.storage.tables import Experiment

COLUMNS = ("source", "medium", "campaign", "device", "page", "country")
MOST_VALUES = 20
OTHERS, UNKNOWN = "(others)", "(unknown)"
WARNING = (
    "For finding faults, not effects: {count} values were looked at, each with fewer units than the plan asks for. "
    "An effect in one of them is a guess to test in a new experiment, whatever its p-value says."
)
NOBODY = " No exposed unit has a value of `{name}`: is it spelled as in the events?"
AFTER = 10**11  # seconds: later than any event before the exposure is early


def split_result(
    store: EventStore,
    experiment: Experiment,
    metrics: Mapping[str, Resolved],
    dimension: str,
    *,
    as_of: dt.datetime,
) -> tuple[DimensionAnswer, Check]:
    """Compare every metric within every value of a dimension, adjusted over values and variants (Holm).

    Args:
        store: The event store.
        experiment: The design.
        metrics: Its metrics.
        dimension: A column of `COLUMNS`, else the name of an event property that is a text.
        as_of: The cut-off.

    Returns:
        The split, and whether the variants are filled as they should be within every value.
    """
    groups = plan_groups(summable(metrics), experiment.covariate_days, None)
    values = _values(store, experiment, dimension, as_of)
    scan = Scan(groups, as_of, dict.fromkeys(range(len(groups)), _first_day(experiment, as_of)), values)
    units = _units(store, experiment, values, as_of)
    names = {value: _shown_as(value, place) for place, value in enumerate(_by_size(units))}
    shown = _together(units, names)
    sums = sum_up(store, experiment.project_id, experiment, scan) if groups else {}
    quantiles = read_quantiles(store, experiment, metrics, as_of=as_of, split=_merged(values, names))
    examined: dict[str, list[Examined]] = {value: [] for value in shown}
    arms = tuple(variant["key"] for variant in experiment.variants)
    for role, key in roles_of(experiment):
        if key in quantiles:
            measure, rows = QUANTILE, dict.fromkeys(shown, nobody(arms))
            rows |= {value or UNKNOWN: row for value, row in quantiles[key].items()}
        else:
            group = next(group for group in groups if key in group.measures)
            measure, rows = group.measures[key], dict.fromkeys(shown, CrossMoments.empty(arms, group.names))
            for value, row in sums[group.place].items():
                rows[names[value]] += row
        cases = _cases(experiment, measure, rows)
        compared = compare_cases(list(cases.values()), arms[0], holm)
        for (value, case), comparisons in zip(cases.items(), compared, strict=True):
            metric = metrics[key].metric
            examined[value].append(Examined(metric, role, case, as_good(metric, comparisons)))
    answers = [
        SplitValue(value=value, units=shown[value], metrics=[metric_answer(one, shown[value]) for one in own])
        for value, own in examined.items()
    ]
    warning = WARNING.format(count=len(shown)) + (NOBODY.format(name=dimension) if shown.keys() == {UNKNOWN} else "")
    answer = DimensionAnswer(name=dimension, warning=warning, values=answers)
    return answer, _ratio_by_value(dimension, shown, weights_of(experiment))


def _first_day(experiment: Experiment, as_of: dt.datetime) -> dt.date:
    return (experiment.started_at or as_of).astimezone(dt.UTC).date()


def _values(store: EventStore, experiment: Experiment, dimension: str, as_of: dt.datetime) -> ir.Table:
    """Return `unit` and `split` of every unit that has a value."""
    people = clean_people(store, experiment.project_id, experiment, until=as_of)
    events = store.events(experiment.project_id)
    value = events[dimension] if dimension in COLUMNS else store.text_property(events, dimension)
    events = events.select(who=events[UNIT_COLUMNS[experiment.unit]], at=events.timestamp, split=value)
    events = events.filter(events.split.notnull(), events.split != "", events["at"] <= ibis.literal(naive_utc(as_of)))
    seen = people.inner_join(events, people.unit == events.who)
    before = seen["first"].epoch_seconds() - seen["at"].epoch_seconds()
    seen = seen.mutate(distance=(before >= 0).ifelse(before, AFTER - before).cast("int64"))
    nearest = seen.group_by("unit").agg(nearest=seen.distance.min())
    nearest = nearest.rename(whose="unit")
    tied = seen.inner_join(nearest, [seen.unit == nearest.whose, seen.distance == nearest.nearest])
    return tied.group_by("unit").agg(split=tied.split.min())


def _units(
    store: EventStore, experiment: Experiment, values: ir.Table, as_of: dt.datetime
) -> dict[str, dict[str, int]]:
    people = clean_people(store, experiment.project_id, experiment, until=as_of)
    named = values.rename(whose="unit")
    joined = people.left_join(named, people.unit == named.whose)
    joined = joined.mutate(split=joined.split.fill_null(""))
    arms = [variant["key"] for variant in experiment.variants]
    found: dict[str, dict[str, int]] = {}
    for row in joined.group_by("arm", "split").agg(n=joined.count()).to_pyarrow().to_pylist():
        found.setdefault(row["split"], dict.fromkeys(arms, 0))[arms[row["arm"]]] = row["n"]
    return found


def _merged(values: ir.Table, names: Mapping[str, str]) -> ir.Table:
    """Give values that are shown together one name: a quantile of several is none that theirs could be merged to."""
    own = [value for value, name in names.items() if value == name]
    return values.mutate(split=values.split.isin(own).ifelse(values.split, OTHERS)) if own else values


def _by_size(units: Mapping[str, Mapping[str, int]]) -> list[str]:
    return sorted(units, key=lambda value: (value == "", -sum(units[value].values()), value))


def _together(units: Mapping[str, Mapping[str, int]], names: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return units per variant under the names that values are shown by."""
    shown: dict[str, dict[str, int]] = {}
    for value, name in names.items():
        before = shown.get(name, dict.fromkeys(units[value], 0))
        shown[name] = {arm: before[arm] + count for arm, count in units[value].items()}
    return shown


def _shown_as(value: str, place: int) -> str:
    return UNKNOWN if value == "" else value if place < MOST_VALUES else OTHERS


def _cases(experiment: Experiment, measure: Measure, rows: Mapping[str, CrossMoments]) -> dict[str, Case]:
    # A part of the units never reaches a plan for all of them, so the intervals are those that hold at any time.
    method: Literal["bayesian", "sequential"] = "bayesian" if experiment.method == "bayesian" else "sequential"
    design = Design(method, experiment.alpha, experiment.planned_visitors)
    weights = weights_of(experiment)
    return {value: Case(row, measure, design, weights) for value, row in rows.items()}


def _ratio_by_value(dimension: str, units: Mapping[str, Mapping[str, int]], weights: Mapping[str, float]) -> Check:
    arms = list(weights)
    found = sample_ratio_by_segment(
        {value: [by[arm] for arm in arms] for value, by in units.items()}, list(weights.values())
    )
    if not found:
        return Check("srm_by_dimension", passed=True, detail="Nobody was exposed yet.")
    worst = found[0]
    counts = ", ".join(f"{arm} {count:,}" for arm, count in zip(arms, worst.units, strict=True))
    detail = (
        f"Split within each of {len(found)} values of {dimension}: smallest {p_words(worst.adjusted_p_value, 3)} "
        f"(χ², Holm, red below {RED_BELOW}) at {worst.segment}: {counts}."
    )
    return Check("srm_by_dimension", worst.adjusted_p_value >= RED_BELOW, detail, worst.adjusted_p_value)
