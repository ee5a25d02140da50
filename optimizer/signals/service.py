"""Which micro conversions predict the goal: who is at risk is counted in the engine, the rest follows from counts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import ibis.expr.types as ir
from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.core.signals.grids import LANDMARKS_HOURS, PERIODS_HOURS, longest_keeping_half
from optimizer.errors import InvalidInputError
from optimizer.signals.answers import LandmarkCount, Signal, SignalsAnswer, SignalsRequest, Status
from optimizer.signals.at_risk import View, at_landmark, goals_after
from optimizer.signals.calibration import calibrate
from optimizer.signals.cohorts import Cohort, describe_cohort, numbered_events, people, within_window
from optimizer.signals.goal import needed_goal
from optimizer.signals.outcomes import follow_converters
from optimizer.signals.ranking import Material, rank
from optimizer.signals.samples import Sample, read_sample, sampled_people
from optimizer.signals.tallies import Tally, count
from optimizer.signals.totals import bound_signals
from optimizer.signals.worths import sum_worths
from optimizer.storage.events import EventStore, as_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition

STRATIFIED = "stratified by period, recency and prior activity (Mantel-Haenszel)"
LANDMARK = f"single landmark: behaviour up to it, goal after it, converters before it left out; {STRATIFIED}"
PERSON_PERIODS = f"person-periods of units that are active and have not converted; {STRATIFIED}"
BY = ("source", "device", "group", "week")


def rank_signals(stores: Stores, project_id: int, request: SignalsRequest, *, now: dt.datetime) -> SignalsAnswer:
    """Rank every event of a project.

    Raises:
        NotFoundError: The goal is neither in the catalog nor was ever sent.
        InvalidInputError: `from` is not before `to`, or the landmark is not before the window's end.
    """
    _check(request)
    goal = canonical_name(request.goal)
    with stores.control.reading() as session:
        kinds = _kinds(session, project_id)
    needed_goal(stores, project_id, goal)
    return rank_events(stores.events, project_id, request, kinds, now=now)


def rank_events(
    store: EventStore,
    project_id: int,
    request: SignalsRequest,
    kinds: Mapping[str, str | None],
    *,
    now: dt.datetime,
) -> SignalsAnswer:
    """Rank every event of a project from its events alone.

    Args:
        store: The event store.
        project_id: Of which project.
        request: Which goal, which units.
        kinds: From the catalog, by event.
        now: Windows that end later have not elapsed.
    """
    window = dt.timedelta(days=request.window_days)
    bounds = (request.start, min(request.end or now, now - window))
    goal = canonical_name(request.goal)
    cohort = describe_cohort(store, project_id, goal, window, bounds, by=request.by)
    answer = _answer(numbered_events(store, project_id, cohort), cohort, request, kinds)
    totals = bound_signals(store, project_id, goal, (request.start, request.end or now))
    if totals is None:
        return answer
    if answer.status == "no_units" and not answer.signals:
        detail = f"Only daily totals are known, of {totals.visitor_days} visitors in {totals.days} days."
        return answer.model_copy(update={"totals": totals, "status": "totals_only", "detail": detail})
    return answer.model_copy(update={"totals": totals})


def _answer(
    events: ir.Table, cohort: Cohort, request: SignalsRequest, kinds: Mapping[str, str | None]
) -> SignalsAnswer:
    units = people(events, cohort)
    asked = [] if request.landmark_hours is None else [request.landmark_hours]
    grid = sorted({*LANDMARKS_HOURS, *asked}) if asked else PERIODS_HOURS
    everybody, converters, after = goals_after(units, grid, landmark=bool(asked))
    view = View(asked[0] if asked else longest_keeping_half(after, converters), landmark=bool(asked))
    seen = within_window(events, units, cohort)
    few = view.landmark and 2 * dict(after)[view.hours] < converters
    others = [hours for hours in LANDMARKS_HOURS if few and hours != view.hours]
    material = Material(
        cohort=cohort,
        tally=count(view.rows(seen, cohort), cohort, BY),
        outcomes=follow_converters(seen, cohort),
        worths=sum_worths(seen, cohort, request.landmark_hours),
        sample=_sample(events, units, cohort, view, (converters, everybody - converters)),
        kinds=kinds,
        others={hours: count(at_landmark(seen, cohort, hours), cohort, BY) for hours in others},
    )
    return _shown(request, view, material, converters, after)


def _sample(events: ir.Table, units: ir.Table, cohort: Cohort, view: View, sizes: tuple[int, int]) -> Sample | None:
    if not all(sizes):
        return None
    drawn, *shares = sampled_people(units, *sizes)
    return read_sample(view.rows(within_window(events, drawn, cohort), cohort), (shares[0], shares[1]))


def _shown(
    request: SignalsRequest, view: View, material: Material, converters: int, after: list[tuple[float, int]]
) -> SignalsAnswer:
    tally, cohort, signals = material.tally, material.cohort, rank(material)
    every = tally.everything()
    units, converted = tally.total("opens", every), tally.total("converts", every)
    status, detail = _status(cohort, tally, signals)
    return SignalsAnswer(
        goal=cohort.goal,
        status=status,
        detail=detail,
        method=LANDMARK if view.landmark else PERSON_PERIODS,
        period_hours=None if view.landmark else view.hours,
        landmark_hours=view.hours if view.landmark else None,
        basis=_basis(view, converters, after),
        landmarks=[LandmarkCount(landmark_hours=at, converters_after=n) for at, n in after if view.landmark],
        window_days=request.window_days,
        units=units,
        person_periods=None if view.landmark else tally.total("risk", every),
        converters=converted,
        converted_before_landmark=tally.total("early", every),
        base_rate=converted / units if units else None,
        calibration=calibrate(material.worths, cohort) if units else None,
        unranked=list(cohort.unranked),
        signals=signals,
        totals=None,
    )


def _status(cohort: Cohort, tally: Tally, signals: Sequence[Signal]) -> tuple[Status, str]:
    every = tally.everything()
    everybody, converters = (
        tally.total("opens", every) + tally.total("early", every),
        tally.total("converters", every),
    )
    if not everybody and cohort.oldest is not None and as_utc(cohort.oldest) >= cohort.end:
        since = as_utc(cohort.oldest).date()
        return "window_longer_than_history", f"No window has elapsed since the first event, of {since}."
    if not everybody:
        return "no_units", "Nobody was first seen in this time with a window that has elapsed."
    if not converters:
        return "goal_unreached", f"None of {everybody} units reached the goal within the window."
    if not any(signal.p_value is not None for signal in signals):
        said = "no event has units both with and without it, converted and not"
        return "nothing_to_compare", f"{converters} of {everybody} units reached the goal, but {said}."
    return "ok", f"{converters} of {everybody} units reached the goal within the window."


def _basis(view: View, converters: int, after: Sequence[tuple[float, int]]) -> str:
    kept = dict(after)[view.hours]
    if view.landmark:
        return f"as asked for: {kept} of {converters} converters come after it"
    tried = ", ".join(f"{hours:.2g}" for hours, _ in after)
    said = f"the longest of {tried} h that leaves half of the {converters} converters beyond the first period"
    return f"{said} ({kept} are)"


def _check(request: SignalsRequest) -> None:
    if request.start is not None and request.end is not None and request.start >= request.end:
        raise InvalidInputError.at("/query/from", "not_before_end", "from must be before to.")
    if request.landmark_hours is not None and request.landmark_hours >= request.window_days * 24:
        said = f"landmark_hours must be less than the window, which is {request.window_days * 24:g} hours."
        raise InvalidInputError.at("/query/landmark_hours", "beyond_window", said)


def _kinds(session: Session, project_id: int) -> dict[str, str | None]:
    rows = session.exec(select(EventDefinition).where(EventDefinition.project_id == project_id))
    return {row.name: row.kind for row in rows}
