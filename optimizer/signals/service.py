"""Ranks events by how well they predict the goal, with the naive figures beside and a recommendation each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.core.signals import Counts, Figures, figures, landmark_choice, recommend, shrunk_value
from optimizer.core.stats.multiplicity import benjamini_hochberg
from optimizer.errors import NotFoundError
from optimizer.signals.queries import Cohort, landmark_candidates, per_event, totals, units
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition

LANDMARKS = (1.0, 6.0, 24.0, 72.0, 168.0)
Pair = tuple[float, float]
By = Literal["source", "medium", "campaign", "device", "country"]
CAVEAT = (
    "Association, not cause: an event that predicts the goal need not bring it about. Values are predicted, not "
    "incremental."
)


class SignalsRequest(BaseModel):
    """Which goal, which units."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    goal: str = Field(min_length=1, max_length=200, description="The event to predict.")
    start: AwareDatetime | None = Field(None, alias="from", description="Units first seen at or after.")
    end: AwareDatetime | None = Field(None, alias="to", description="Units first seen before.")
    window_days: float = Field(30, gt=0, le=365, allow_inf_nan=False, description="Days from first seen to the goal.")
    landmark_hours: float | None = Field(
        None, gt=0, le=8760, allow_inf_nan=False, description="Behaviour up to here; chosen from the data if omitted."
    )
    by: By | None = Field(None, description="Split units by what their first event carried.")


class NaiveFigures(BaseModel):
    """What a with/without table over the whole window says, also counting what came after the goal."""

    rate_with: float | None
    rate_without: float | None
    lift: float | None


class Signal(BaseModel):
    """One event."""

    event: str
    kind: str | None = Field(description="From the catalog.")
    group: str | None = Field(description="Value of `by`.")
    units: int = Field(description="Units at risk that did it by the landmark.")
    reach: float = Field(description="Their share of all units at risk.")
    rate_with: float | None
    rate_with_interval: Pair | None
    rate_without: float | None
    rate_without_interval: Pair | None
    risk_difference: float | None
    risk_difference_interval: Pair | None
    lift: float | None
    lift_interval: Pair | None
    odds_ratio: float | None
    odds_ratio_interval: Pair | None
    phi: float | None
    mutual_information_bits: float | None
    p_value: float | None
    test: str | None
    q_value: float | None = Field(description="Benjamini-Hochberg over all rows of this answer.")
    incremental_auc: None = None
    stability: None = None
    median_hours_to_goal: float | None = Field(description="From the first occurrence, among those who converted.")
    expected_value: float | None = Field(description="Goal value a unit with it brings later; predicted, shrunk.")
    funnel_step: bool = Field(description="Nearly every converter passes through it.")
    naive: NaiveFigures
    recommendation: Literal["promote", "keep", "watch", "drop"]
    reasons: list[str]


class SignalsAnswer(BaseModel):
    """The ranking."""

    goal: str
    status: Literal["ok", "no_units", "goal_unreached"]
    method: str
    caveat: str = CAVEAT
    landmark_hours: float
    landmark_basis: str
    window_days: float
    units: int = Field(description="Units at risk: they had not converted by the landmark.")
    converters: int = Field(description="Of those, how many converted after it within the window.")
    converted_before_landmark: int = Field(description="Units that leave both groups.")
    base_rate: float | None
    signals: list[Signal]


def rank_signals(stores: Stores, project_id: int, request: SignalsRequest, *, now: dt.datetime) -> SignalsAnswer:
    """Rank every event of a project.

    Raises:
        NotFoundError: Nobody ever sent the goal.
    """
    goal = canonical_name(request.goal)
    with stores.control.reading() as session:
        kinds = _kinds(session, project_id)
    events = stores.events.events(project_id)
    if goal not in kinds and not events.filter(events.name == goal).count().to_pyarrow().as_py():
        raise NotFoundError("Nobody ever sent this goal. GET /v1/catalog lists the names that were sent.")
    window = dt.timedelta(days=request.window_days)
    end = min(request.end or now, now - window)
    cohort = Cohort(goal, window, request.start, end, request.by)
    people = units(stores.events, project_id, cohort)
    converters, candidates = landmark_candidates(people, LANDMARKS)
    hours = request.landmark_hours or landmark_choice(candidates, converters)
    landmark = dt.timedelta(hours=hours)
    groups = {row["segment"]: row for row in totals(stores.events, project_id, cohort, people, landmark)}
    rows = per_event(stores.events, project_id, cohort, people, landmark) if groups else []
    at_risk = sum(row["at_risk"] for row in groups.values())
    converted = sum(row["converters"] for row in groups.values())
    return SignalsAnswer(
        goal=goal,
        status="no_units" if not at_risk else "goal_unreached" if not converted else "ok",
        method="single landmark: behaviour up to it, goal after it, converters before it left out",
        landmark_hours=hours,
        landmark_basis=_basis(request, hours, candidates, converters),
        window_days=request.window_days,
        units=at_risk,
        converters=converted,
        converted_before_landmark=sum(row["early"] for row in groups.values()),
        base_rate=converted / at_risk if at_risk else None,
        signals=_signals(rows, groups, kinds, split=request.by is not None),
    )


def _signals(
    rows: list[dict[str, Any]],
    groups: Mapping[str, dict[str, Any]],
    kinds: Mapping[str, str | None],
    *,
    split: bool,
) -> list[Signal]:
    found = [(row, groups[row["segment"]], figures(_counts(row, groups[row["segment"]]))) for row in rows]
    tested = [place for place, (_, _, figure) in enumerate(found) if figure.p_value is not None]
    adjusted = benjamini_hochberg([found[place][2].p_value or 0.0 for place in tested])
    q_values = dict(zip(tested, adjusted, strict=True))
    signals = [
        _signal(row, group, figure, q_values.get(place), kinds.get(row["name"]), split=split)
        for place, (row, group, figure) in enumerate(found)
    ]
    order = {"promote": 0, "keep": 1, "watch": 2, "drop": 3}
    return sorted(signals, key=lambda signal: (order[signal.recommendation], -(signal.phi or 0.0), signal.event))


def _counts(row: Mapping[str, Any], group: Mapping[str, Any]) -> Counts:
    return Counts(
        row["units_with"],
        row["converted_with"],
        group["at_risk"] - row["units_with"],
        group["converters"] - row["converted_with"],
    )


def _signal(
    row: Mapping[str, Any],
    group: Mapping[str, Any],
    figure: Figures,
    q_value: float | None,
    kind: str | None,
    *,
    split: bool,
) -> Signal:
    share = row["before_goal"] / group["all_converters"] if group["all_converters"] else 0.0
    recommendation, reasons = recommend(figure, q_value, prerequisite_share=share)
    shown = {name: getattr(figure, name) for name in Signal.model_fields if name in Figures.__dataclass_fields__}
    value = None
    if group["valued"]:
        value = shrunk_value(row["value_with"] or 0.0, row["units_with"], group["value"], group["at_risk"])
    median = row["median_seconds"]
    return Signal(
        **shown,
        event=row["name"],
        kind=kind,
        group=row["segment"] if split else None,
        units=row["units_with"],
        reach=row["units_with"] / group["at_risk"] if group["at_risk"] else 0.0,
        q_value=q_value,
        median_hours_to_goal=median / 3600 if median is not None else None,
        expected_value=value,
        funnel_step=reasons[0].startswith("Funnel step"),
        naive=_naive(row, group),
        recommendation=recommendation,
        reasons=reasons,
    )


def _naive(row: Mapping[str, Any], group: Mapping[str, Any]) -> NaiveFigures:
    without = group["all_units"] - row["naive_with"]
    rate_with = row["naive_converted"] / row["naive_with"] if row["naive_with"] else None
    rate_without = (group["all_converters"] - row["naive_converted"]) / without if without else None
    lift = rate_with / rate_without if rate_with is not None and rate_without else None
    return NaiveFigures(rate_with=rate_with, rate_without=rate_without, lift=lift)


def _basis(request: SignalsRequest, hours: float, candidates: list[tuple[float, int]], converters: int) -> str:
    if request.landmark_hours is not None:
        return "as asked for"
    after = dict(candidates)[hours]
    shown = ", ".join(f"{candidate:g}" for candidate in LANDMARKS)
    return f"the longest of {shown} h that leaves half of the {converters} converters after it ({after} do)"


def _kinds(session: Session, project_id: int) -> dict[str, str | None]:
    rows = session.exec(select(EventDefinition).where(EventDefinition.project_id == project_id))
    return {row.name: row.kind for row in rows}
