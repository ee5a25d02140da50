"""Funnels, computed in the engine.

For one start the earliest next step is always the best one, so following it greedily is exact. Without a window the
first start is enough; with a window every start is followed, and a unit is where its best start got to. Equal times
count as in order.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import ibis
import ibis.expr.types as ir
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import select

from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError
from optimizer.storage.events import naive_utc
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition

COLUMNS = ("device", "source", "medium", "campaign", "country")
Order = Literal["ordered", "strict", "any"]
MINIMUM_STEPS = 2


class FunnelRequest(BaseModel):
    """Which steps, in which order, within which time."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    steps: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=MINIMUM_STEPS, max_length=20, description="Event names, each once."
    )
    order: Order = Field(
        "ordered",
        description="ordered: each step at or after the previous. strict: each step is the unit's very next event. "
        "any: every step at or after the first one.",
    )
    window_hours: float | None = Field(
        None, gt=0, le=24 * 3650, allow_inf_nan=False, description="From a start to the last step; null is unlimited."
    )
    by: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="device, source, medium, campaign, country or the name of a property of the start."
    )
    start: AwareDatetime | None = Field(None, alias="from", description="Events at or after.")
    end: AwareDatetime | None = Field(None, alias="to", description="Events before.")


class FunnelStep(BaseModel):
    """One step."""

    event: str
    units: int = Field(description="Units that got here.")
    from_previous: float | None = Field(description="Share of the previous step's units.")
    from_first: float | None = Field(description="Share of the first step's units.")
    drop_off: int = Field(description="Units lost since the previous step.")
    median_seconds: float | None = Field(description="From the previous step, among units that got here.")
    lost_value: float = Field(description="Lost units × the rate at which this step's units reach the end.")


class FunnelGroup(BaseModel):
    """The funnel of all units, or of one group."""

    group: str | None
    steps: list[FunnelStep]
    worst_step: str | None = Field(description="Where the most conversions are lost, not the largest percentage.")


class FunnelAnswer(BaseModel):
    """The funnel, and one per group."""

    order: Order
    window_hours: float | None
    total: FunnelGroup
    groups: list[FunnelGroup]


def funnel(stores: Stores, project_id: int, request: FunnelRequest) -> FunnelAnswer:
    """Compute a funnel.

    Raises:
        InvalidInputError: A step is named twice or was never sent nor catalogued.
    """
    steps = [canonical_name(step) for step in request.steps]
    _check(stores, project_id, steps)
    best = _best_start(_events(stores, project_id, request), steps, request)
    total = _rows(best, len(steps), None)
    groups = _rows(best, len(steps), "segment") if request.by else []
    empty = {"segment": None, **{f"units_{place}": 0 for place in range(len(steps))}}
    return FunnelAnswer(
        order=request.order,
        window_hours=request.window_hours,
        total=_group(steps, total[0] if total else empty, None),
        groups=[_group(steps, row, row["segment"]) for row in groups],
    )


def _events(stores: Stores, project_id: int, request: FunnelRequest) -> ir.Table:
    events = stores.events.events(project_id)
    events = events.filter(events.unit_id != "")
    if request.start is not None:
        events = events.filter(events.timestamp >= naive_utc(request.start))
    if request.end is not None:
        events = events.filter(events.timestamp < naive_utc(request.end))
    segment = ibis.literal("all")
    if request.by in COLUMNS:
        segment = events[request.by]
    elif request.by is not None:
        segment = stores.events.text_property(events, request.by)
    return events.select("unit_id", "name", "timestamp", "sequence", segment=segment.fill_null("(none)"))


def _best_start(events: ir.Table, steps: Sequence[str], request: FunnelRequest) -> ir.Table:
    if request.order != "strict" and request.window_hours is None:
        return _chains(events, _first_starts(events, steps[0], request), steps, request)
    if request.order == "strict":
        chains = _strict_chains(events, steps, request)
    else:
        starts = events.filter(events.name == steps[0]).rename(t0="timestamp")
        chains = _chains(events, starts.group_by(["unit_id", "t0"]).agg(segment=starts.segment.min()), steps, request)
    depth = sum((chains[f"t{place}"].notnull().cast("int64") for place in range(1, len(steps))), ibis.literal(0))
    ranked = chains.mutate(depth=depth)
    window = ibis.window(group_by="unit_id", order_by=[ranked.depth.desc(), ranked.t0, ranked.segment])
    return ranked.mutate(place=ibis.row_number().over(window)).filter(lambda t: t.place == 0)


def _first_starts(events: ir.Table, step: str, request: FunnelRequest) -> ir.Table:
    starts = events.filter(events.name == step)
    first = starts.group_by("unit_id").agg(t0=starts.timestamp.min())
    if request.by is None:
        return first.mutate(segment=ibis.literal("all"))
    seen = starts.select("segment", who="unit_id", at="timestamp")
    together = first.inner_join(seen, [first.unit_id == seen.who, first.t0 == seen["at"]])
    return together.group_by(["unit_id", "t0"]).agg(segment=together.segment.min())


def _chains(events: ir.Table, chain: ir.Table, steps: Sequence[str], request: FunnelRequest) -> ir.Table:
    # Each step is one left join on the chain so far: naming it a second time would have it computed twice over.
    for place, step in enumerate(steps[1:], 1):
        done = events.filter(events.name == step).select(who="unit_id", at="timestamp")
        before = chain["t0"] if request.order == "any" else chain[f"t{place - 1}"]
        fits = [chain.unit_id == done.who, done["at"] >= before]
        if request.window_hours is not None:
            fits.append(done["at"] <= chain["t0"] + _hours(request.window_hours))
        joined = chain.left_join(done, fits)
        chain = joined.group_by(list(chain.columns)).agg(**{f"t{place}": joined["at"].min()})
        if request.order == "any" and place > 1:  # a later step without an earlier one is not reached
            held = chain[f"t{place - 1}"].notnull().ifelse(chain[f"t{place}"], ibis.null("timestamp(6)"))
            chain = chain.mutate(**{f"t{place}": held})
    return chain


def _strict_chains(events: ir.Table, steps: Sequence[str], request: FunnelRequest) -> ir.Table:
    window = ibis.window(group_by="unit_id", order_by=[events.timestamp, events.sequence])
    following = {f"n{place}": events.name.lead(place).over(window) for place in range(1, len(steps))}
    times = {f"a{place}": events.timestamp.lead(place).over(window) for place in range(1, len(steps))}
    wide = events.mutate(**following, **times)
    starts = wide.filter(wide.name == steps[0])
    fits: ir.BooleanValue = ibis.literal(value=True)
    reached = {}
    for place, step in enumerate(steps[1:], 1):
        fits &= starts[f"n{place}"] == step
        if request.window_hours is not None:
            fits &= starts[f"a{place}"] <= starts.timestamp + _hours(request.window_hours)
        reached[f"t{place}"] = fits.ifelse(starts[f"a{place}"], ibis.null("timestamp(6)"))
    return starts.select("unit_id", "segment", t0="timestamp", **reached)


def _rows(best: ir.Table, steps: int, by: str | None) -> list[dict[str, Any]]:
    sums: dict[str, ir.Value] = {"units_0": best.count()}
    for place in range(1, steps):
        now, before = best[f"t{place}"], best[f"t{place - 1}"]
        sums[f"units_{place}"] = now.notnull().cast("int64").sum()
        sums[f"median_{place}"] = (now.epoch_seconds() - before.epoch_seconds()).cast("float64").median()
    found = best.group_by(by).agg(**sums).order_by(by) if by else best.agg(**sums)
    rows: list[dict[str, Any]] = found.to_pyarrow().to_pylist()
    return rows


def _group(steps: Sequence[str], row: dict[str, Any], name: str | None) -> FunnelGroup:
    units = [row.get(f"units_{place}") or 0 for place in range(len(steps))]
    shown = []
    for place, step in enumerate(steps):
        lost = units[place - 1] - units[place] if place else 0
        onward = units[-1] / units[place] if units[place] else 0.0
        shown.append(
            FunnelStep(
                event=step,
                units=units[place],
                from_previous=units[place] / units[place - 1] if place and units[place - 1] else None,
                from_first=units[place] / units[0] if units[0] else None,
                drop_off=lost,
                median_seconds=row.get(f"median_{place}"),
                lost_value=lost * onward,
            )
        )
    worst = max(shown[1:], key=lambda step: step.lost_value)
    return FunnelGroup(group=name, steps=shown, worst_step=worst.event if worst.lost_value > 0 else None)


def _check(stores: Stores, project_id: int, steps: Sequence[str]) -> None:
    for place, step in enumerate(steps):
        if step in steps[:place]:
            raise InvalidInputError.at(f"/steps/{place}", "duplicate", "Every step must be another event.")
    events = stores.events.events(project_id)
    sent = set(events.select("name").distinct().to_pyarrow()["name"].to_pylist())
    with stores.control.reading() as session:
        known = sent | set(session.exec(select(EventDefinition.name).where(EventDefinition.project_id == project_id)))
    for place, step in enumerate(steps):
        if step not in known:
            near = difflib.get_close_matches(step, known, n=3)
            hint = f" Near it: {', '.join(near)}." if near else " GET /v1/catalog lists the names that were sent."
            raise InvalidInputError.at(f"/steps/{place}", "unknown_event", f"Nobody ever sent this event.{hint}")


def _hours(hours: float) -> ir.IntervalScalar:
    return ibis.interval(seconds=int(dt.timedelta(hours=hours).total_seconds()))
