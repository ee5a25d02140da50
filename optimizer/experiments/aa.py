"""A/A tests on a project's own past: how often each metric would have called units different that were treated alike.

Nothing is assumed of the data: no difference was made, so every verdict on a random split is a false alarm. The same
comparison as in results is used, by every method that an experiment can have: monitored at each daily look or at a
few planned ones (one alarm is enough), or read once at the end. Bayesian figures promise nothing: theirs are only
shown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.core.stats.comparison import Case, Comparison, Design, Method, compare_cases
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.group_sequential import is_due
from optimizer.core.stats.srm import RED_BELOW, sample_ratio
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.experiments.alarms import SPLIT_CHECK, AlarmRateAnswer, Counted, conclude, judge
from optimizer.experiments.columns import plan_groups
from optimizer.experiments.metrics import Resolved, list_metrics, metric_keys, resolve_metric
from optimizer.experiments.quantiles import summable
from optimizer.experiments.replay import ARMS, Period, Replayed, replay
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition, Experiment

METHODS: tuple[Method, ...] = ("sequential", "fixed", "group_sequential", "bayesian")
Unit = Literal["user", "anonymous", "session"]
Progress = Callable[[str, int, int], None]
WEIGHTS = dict.fromkeys(ARMS, 1.0)
NO_QUANTILE = "Not replayed: a quantile is no sum over units, so that splits cannot share one scan."


class ReplayRequest(BaseModel):
    """What to replay."""

    model_config = ConfigDict(extra="forbid")

    start: dt.date
    days: int = Field(ge=1, le=400)
    metrics: list[str] = Field([], description="Keys; empty: those of the project's experiments and its own.")
    methods: list[Method] = Field([*METHODS], min_length=1)
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    looks: int = Field(5, ge=2, le=50, description="Planned looks, for group_sequential.")
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"
    bits: int = Field(9, ge=5, le=12, description="2^bits − 1 splits.")
    unit: Unit = "user"
    split_by: Unit | None = None
    exposed_by: str | None = None
    covariate_days: int = Field(0, ge=0, le=365)
    seed: str = "aa"


class ReplayAnswer(BaseModel):
    """Every rate and what they say together."""

    start: dt.date
    end: dt.date = Field(description="The last look is taken when this day begins (UTC).")
    unit: Unit
    split_by: Unit
    splits: int
    alpha: float
    units: int = Field(description="Units that entered.")
    rates: list[AlarmRateAnswer]
    as_promised: bool | None = Field(description="None where nothing could be measured.")
    conclusion: str


def replay_history(
    stores: Stores, project_id: int, request: ReplayRequest, *, progress: Progress = lambda *_: None
) -> ReplayAnswer:
    """Split the units of some days at random many times over, and count the false alarms of every metric.

    Args:
        stores: Both stores.
        project_id: The project.
        request: What to replay.
        progress: Told what is being done, how much of it is done, and of how much.

    Raises:
        InvalidInputError: A metric is unknown, the project has none, or nobody was seen in these days.
    """
    with stores.control.reading() as session:
        metrics = _metrics(session, project_id, request.metrics)
    period = _period(request)
    replayable = summable(metrics)
    if not replayable:
        raise InvalidInputError.at("/metrics", "not_replayed", NO_QUANTILE)
    groups = plan_groups(replayable, request.covariate_days, None)
    steps, done = len(groups) + len(replayable) * len(request.methods), 0
    found: list[Counted] = []
    units = 0
    for group in groups:
        progress("reading the past", done, steps)
        replayed = replay(stores.events, project_id, period, group)
        done += 1
        if not found:
            found.append(_split_alarms(replayed, period))
        units = max(units, replayed.units(period.days - 1))
        for key, measure in group.measures.items():
            for method in request.methods:
                progress(f"{key}, {method}", done, steps)
                found.append(_counted(replayed, key, measure, method, request))
                done += 1
    progress("done", steps, steps)
    found += [
        _not_replayed(key, method, request) for key in metrics if key not in replayable for method in request.methods
    ]
    if not units:
        detail = f"No {request.unit} was seen for long enough in the {period.days} days from {request.start} on."
        raise InvalidInputError.at("/days", "nobody", f"{detail} `optimizer export` shows which days have events.")
    rates = judge(found)
    as_promised, conclusion = conclude(rates, units, period)
    return ReplayAnswer(
        start=request.start,
        end=period.end.date(),
        unit=request.unit,
        split_by=request.split_by or request.unit,
        splits=period.splits,
        alpha=request.alpha,
        units=units,
        rates=rates,
        as_promised=as_promised,
        conclusion=conclusion,
    )


def _metrics(session: Session, project_id: int, keys: Sequence[str]) -> dict[str, Resolved]:
    found = {}
    for key in keys or _usual(session, project_id):
        try:
            found[key] = resolve_metric(session, project_id, key)
        except NotFoundError as error:
            raise InvalidInputError.at("/metrics", "unknown_metric", f"{key}: {error.detail}") from None
    return found


def _usual(session: Session, project_id: int) -> list[str]:
    experiments = session.exec(select(Experiment).where(Experiment.project_id == project_id))
    used = [key for experiment in experiments for key in metric_keys(experiment)]
    own = [metric.key for metric in list_metrics(session, project_id)]
    # In a project without either, what its catalog names: each event is a ready-made metric.
    named = select(EventDefinition.name).where(EventDefinition.project_id == project_id)
    keys = list(dict.fromkeys([*used, *own])) or sorted(session.exec(named))
    if not keys:
        raise InvalidInputError.at("/metrics", "none", "This project has no metrics and no catalogued events yet.")
    return keys


def _period(request: ReplayRequest) -> Period:
    start = dt.datetime.combine(request.start, dt.time(), tzinfo=dt.UTC)
    exposed_by = canonical_name(request.exposed_by) if request.exposed_by else None
    split_by = request.split_by or request.unit
    return Period(
        start, request.days, request.unit, split_by, exposed_by, request.covariate_days, request.seed, request.bits
    )


def _counted(replayed: Replayed, key: str, measure: Measure, method: Method, request: ReplayRequest) -> Counted:
    judged, alarmed = (np.zeros(2**request.bits - 1, bool) for _ in range(2))
    said = ""
    for look, design in _looks(replayed, method, request):
        for place, comparison in _compared(replayed, look, measure, design, ~alarmed):
            judged[place] |= comparison.status == "ok"
            alarmed[place] |= comparison.significant
            said = comparison.detail
    return Counted(
        metric=key,
        method=method,
        promised=None if method == "bayesian" else request.alpha,
        splits=int(judged.sum()),
        alarms=int(alarmed.sum()),
        detail=said if method == "bayesian" or not judged.any() else "",
    )


def _looks(replayed: Replayed, method: Method, request: ReplayRequest) -> Iterator[tuple[int, Design]]:
    """Yield the looks that an experiment of this method would have verdicts at, planned for all units of the end."""
    last = request.days - 1
    planned = replayed.units(last)
    if method == "fixed":
        yield last, Design(method, request.alpha, None)  # at the end, the end is vouched for
        return
    taken: tuple[float, ...] = ()
    for look in range(request.days):
        if not replayed.changed(look):
            continue
        design = Design(method, request.alpha, planned, spending=request.spending)
        if method == "group_sequential":
            share = replayed.units(look) / max(1, planned)
            if not is_due(share, taken, request.looks):
                continue
            taken = (*taken, share)
            design = replace(design, looks=taken)
        yield look, design


def _not_replayed(key: str, method: Method, request: ReplayRequest) -> Counted:
    promised = None if method == "bayesian" else request.alpha
    return Counted(metric=key, method=method, promised=promised, splits=0, alarms=0, detail=NO_QUANTILE)


def _compared(
    replayed: Replayed, look: int, measure: Measure, design: Design, wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, Comparison]]:
    names = (measure.value, measure.denominator, *measure.covariates, measure.converters)
    columns = list(dict.fromkeys(name for name in names if name is not None))
    places = np.flatnonzero(wanted).tolist()
    cases = [
        Case(row, measure, design, WEIGHTS)
        for row, own in zip(replayed.rows(look, columns), wanted, strict=True)
        if own
    ]
    for place, [comparison] in zip(places, compare_cases(cases, ARMS[0], list), strict=True):
        yield place, comparison


def _split_alarms(replayed: Replayed, period: Period) -> Counted:
    """Count the splits whose sizes the χ² test calls broken: it sees units that move together, too."""
    second = replayed.second[period.days - 1, :, 0]
    first = replayed.units(period.days - 1) - second
    p_values = [sample_ratio(pair, [1.0, 1.0]).p_value for pair in zip(first, second, strict=True)]
    alarms = sum(p < RED_BELOW for p in p_values)
    return Counted(
        metric=SPLIT_CHECK, method="fixed", promised=RED_BELOW, splits=len(p_values), alarms=alarms, detail=""
    )
