"""The surrogate index of a running experiment: context beside a forecast that no past experiment supports.

It asks visitors of before the test how much more often those who took the proxy's step went on to the goal, and
believes that whoever the treatment brings to the step behaves like them. Nothing shows whether that holds, so it is
labelled, and decides nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import ibis
import numpy as np

from optimizer.core.proxies.surrogate import CAVEAT, surrogate_index
from optimizer.core.stats.comparison import Case
from optimizer.experiments.answers import ResultAnswer, SurrogateAnswer
from optimizer.experiments.cohort import UNIT_COLUMNS
from optimizer.experiments.forecast import ASSUMED_EQUAL
from optimizer.experiments.metrics import Resolved
from optimizer.signals.proxies import SEED
from optimizer.storage.events import EventStore, naive_utc
from optimizer.storage.tables import Experiment, Metric

HISTORY = dt.timedelta(days=60)
WINDOW_HOURS = 14 * 24.0  # of metrics that have none
LEAST_UNITS, LEAST_GOALS = 100, 10


def add_context(
    store: EventStore,
    experiment: Experiment,
    metrics: Mapping[str, Resolved],
    cases: Mapping[str, Case],
    result: ResultAnswer,
) -> None:
    """Put the surrogate index beside a forecast that is an assumption, where visitors of before can give it."""
    forecast = result.decision.goal_forecast
    if forecast is None or not forecast.basis.startswith(ASSUMED_EQUAL) or experiment.goal_metric is None:
        return
    proxy, goal = metrics[experiment.primary_metric].metric, metrics[experiment.goal_metric].metric
    case = cases.get(experiment.primary_metric)
    if case is None or {proxy.type, goal.type} != {"proportion"} or experiment.started_at is None:
        return
    if forecast.variant in case.row.arms:
        forecast.context = _index(store, experiment, (proxy, goal), case, forecast.variant)


def _index(
    store: EventStore, experiment: Experiment, pair: tuple[Metric, Metric], case: Case, variant: str
) -> SurrogateAnswer | None:
    units, goals = _before(store, experiment, *pair)
    if units.sum() < LEAST_UNITS or goals.sum() < LEAST_GOALS or min(units) == 0:
        return None
    arms = [case.row.moments(arm, case.measure.value) for arm in (case.row.arms[0], variant)]
    control, treatment = (np.array([arm.n - round(arm.total), round(arm.total)]) for arm in arms)
    if min(control.sum(), treatment.sum()) == 0:
        return None
    found = surrogate_index(units, goals, control, treatment, rng=np.random.default_rng(SEED))
    expected = float((goals / units * control).sum() / control.sum())
    if expected <= 0:
        return None
    return SurrogateAnswer(
        relative=found.estimate / expected,
        interval=(found.interval.lower / expected, found.interval.upper / expected),
        absolute=found.estimate,
        visitors=int(units.sum()),
        caveat=f"{CAVEAT} Here the one step is {pair[0].key}.",
    )


def _before(store: EventStore, experiment: Experiment, proxy: Metric, goal: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Count units of before the start without and with the step, and how many of each reached the goal.

    Units first seen in the 60 days that end early enough for both windows to elapse before the start.
    """
    start = experiment.started_at
    assert start is not None  # noqa: S101 - the caller looked
    windows = [dt.timedelta(hours=one.window_hours or WINDOW_HOURS) for one in (proxy, goal)]
    until = start - max(windows)
    events = store.events(experiment.project_id)
    events = events.filter(
        events.timestamp >= ibis.literal(naive_utc(until - HISTORY)),
        events.timestamp < ibis.literal(naive_utc(start)),
    )
    named = events.mutate(who=events[UNIT_COLUMNS[experiment.unit]].fill_null(""))
    did = named.select(
        "who",
        at=named.timestamp,
        step=(named.name == proxy.event) & _carries(store, events=named, metric=proxy),
        reached=(named.name == goal.event) & _carries(store, events=named, metric=goal),
    )
    firsts = did.filter(did.who != "").group_by("who").agg(first=did["at"].min())
    firsts = firsts.filter(firsts["first"] < ibis.literal(naive_utc(until)))
    own = did.rename(whose="who")
    seen = firsts.join(own, firsts.who == own.whose)
    ends = [seen["first"] + ibis.interval(seconds=round(window.total_seconds())) for window in windows]
    per_unit = seen.group_by("who").agg(
        step=(seen.step & (seen["at"] <= ends[0])).cast("int8").max(),
        reached=(seen.reached & (seen["at"] <= ends[1])).cast("int8").max(),
    )
    cells = per_unit.group_by("step").agg(units=per_unit.count(), goals=per_unit.reached.cast("int64").sum())
    found = {row["step"]: row for row in cells.to_pyarrow().to_pylist()}
    counts = [[found[step][name] if step in found else 0 for step in (0, 1)] for name in ("units", "goals")]
    return np.array(counts[0]), np.array(counts[1])


def _carries(store: EventStore, *, events: ibis.Table, metric: Metric) -> ibis.expr.types.BooleanValue:
    return store.has_properties(events, metric.where) if metric.where else ibis.literal(value=True)
