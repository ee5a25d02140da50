"""What an occurrence is worth to a platform that learns from it: a table of values with its proof beside it.

Predicted, not incremental: what people who did the event brought, not what the event or an ad brought about. The
table is learned from journeys whose window has elapsed, held against later weeks, and reconciled with real purchases
week by week. A table that is surely off is not used.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Sequence
from typing import Literal, NamedTuple

from scipy import special

from optimizer.core.naming import canonical_name
from optimizer.core.terms import Terms, told_of
from optimizer.core.value import BAND, Cell, Check, Ladder, check, learn, reached
from optimizer.errors import InvalidInputError
from optimizer.signals.asked import MAXIMUM_EVENTS, Asked, asked_by_rules, predicted_rules
from optimizer.signals.goal import asked_goal, needed_goal
from optimizer.signals.journeys import Journeys, read_journeys
from optimizer.signals.value_shapes import (
    NONE,
    SHOWN_WEEKS,
    EventValue,
    HeldOut,
    SourceRatio,
    ValuesRequest,
    ValueTable,
    WeekRatio,
)
from optimizer.storage.stores import Stores

MINIMUM_UNITS = 50
LEARNED_SHARE = 2 / 3
MINIMUM_WEEKS = 3
WIDER = float(special.ndtri(0.005) / special.ndtri(0.025))  # from 95% to 99%


def ask_values(stores: Stores, project_id: int, request: ValuesRequest, *, now: dt.datetime) -> ValueTable:
    """Learn the values that were asked for.

    Raises:
        InvalidInputError: No goal or no event is named and none is known, or there are too many.
        NotFoundError: The goal is neither in the catalog nor was ever sent.
    """
    with stores.control.reading() as session:
        goal = asked_goal(session, project_id, request.goal, "/query/goal")
        rules = predicted_rules(session, project_id)
    named = [rule.event for rule in rules] if request.events is None else request.events.split(",")
    names = sorted({canonical_name(name) for name in named} - {"", goal})
    if not names or len(names) > MAXIMUM_EVENTS:
        detail = f"Name one to {MAXIMUM_EVENTS} events besides the goal, joined by commas."
        raise InvalidInputError.at("/query/events", "wrong_number", detail)
    needed_goal(stores, project_id, goal)
    asked = asked_by_rules(rule for rule in rules if rule.event in names).about(names)
    if request.window_days is not None:
        asked = Asked(asked.terms, request.window_days)
    return value_table(stores, project_id, goal, asked, now=now)


def value_table(stores: Stores, project_id: int, goal: str, asked: Asked, *, now: dt.datetime) -> ValueTable:
    """Learn the values of events that are reported together.

    Args:
        stores: Both planes.
        project_id: Whose.
        goal: Canonical name of the goal.
        asked: Which events are told of together, on which terms, and for how long they count. The goal has its own
            value and is left out.
        now: When.
    """
    asked = asked.without(goal)
    names, terms = list(asked.terms), list(asked.terms.values())
    journeys = read_journeys(stores.events, project_id, goal, names, dt.timedelta(days=asked.window_days), now=now)
    judged = _judged(names, terms, journeys.cells)
    open_places = [place for place, one in enumerate(judged) if not one.reason]
    cells = _restricted(journeys.cells, open_places)
    ladder = learn(cells, len(names)) if open_places else None
    held_out, sources, is_off = _held_out(cells, len(names))
    status, reason = _status(journeys.cells, ladder, held_out, is_off=is_off)
    withheld = {one.source for one in sources if one.withheld}
    return ValueTable(
        status=status,
        reason=reason,
        goal=goal,
        reported=names,
        window_days=asked.window_days,
        computed_at=now,
        people=sum(cell.units for cell in journeys.cells),
        events=_valued(judged, ladder, open_places),
        held_out=held_out,
        sources=sources,
        weeks=_weeks(journeys, cells, ladder, _Told(terms, withheld)) if ladder else [],
    )


class _Told(NamedTuple):
    # What becomes of a value on its way out: each event's terms, and the sources of which nothing is told.
    terms: Sequence[Terms]
    withheld: Container[str]

    def total(self, ladder: Ladder, cells: Sequence[Cell]) -> float:
        heard = (cell for cell in cells if (cell.source or NONE) not in self.withheld)
        return sum(cell.units * told_of(ladder, self.terms, cell) for cell in heard)


def _judged(names: Sequence[str], terms: Sequence[Terms], cells: Sequence[Cell]) -> list[EventValue]:
    found = []
    for name, own, sums in zip(names, terms, reached(cells, len(names)), strict=True):
        lower = sums.lower_bound
        if sums.units < MINIMUM_UNITS:
            reason = f"{sums.units} people did it and their window has elapsed; it takes {MINIMUM_UNITS}."
        elif lower is None or lower <= 0:
            reason = f"What they brought cannot be told from nothing: lower bound {lower or 0.0:.2f}."
        else:
            reason = ""
        found.append(
            EventValue(
                event=name,
                value=None,
                by_source={},
                margin=own.margin,
                maximum=own.maximum,
                people=sums.units,
                mean=sums.mean,
                lower_bound=lower,
                reason=reason,
            )
        )
    return found


def _restricted(cells: Sequence[Cell], places: Sequence[int]) -> list[Cell]:
    # Events that do not pass the gate are not told, so nobody stands on them.
    kept = frozenset(places)
    held = ((cell, cell.done & kept) for cell in cells)
    return [Cell(cell.week, cell.source, done, cell.units, cell.value, cell.squares) for cell, done in held if done]


def _valued(judged: Sequence[EventValue], ladder: Ladder | None, places: Sequence[int]) -> list[EventValue]:
    if ladder is None:
        return list(judged)
    order = [place for place in ladder.order if place in places]
    closed = [one for one in judged if one.reason]
    valued = []
    for place in order:
        rung = ladder.order.index(place)
        value = ladder.overall[rung]
        sources = {source: values[rung] for source, values in ladder.by_source.items() if values[rung] != value}
        reason = f"E[{judged[place].event}] = {judged[place].mean:.2f}; {value:.2f} of people who got no further."
        told = Terms(judged[place].margin, judged[place].maximum).told(value)
        update = {"value": value, "by_source": sources, "told": told, "reason": reason}
        valued.append(judged[place].model_copy(update=update))
    return [*valued, *closed]


def _held_out(cells: Sequence[Cell], events: int) -> tuple[HeldOut | None, list[SourceRatio], bool]:
    weeks = sorted({cell.week for cell in cells})
    if len(weeks) < MINIMUM_WEEKS:
        return None, [], False
    last = weeks[int(len(weeks) * LEARNED_SHARE) - 1]
    early, later = [c for c in cells if c.week <= last], [c for c in cells if c.week > last]
    ladder = learn(early, events)
    found = check(ladder, later)
    names = sorted({cell.source for cell in later})
    sources = [_source(name, check(ladder, [cell for cell in later if cell.source == name])) for name in names]
    held_out = HeldOut(
        learned_weeks=sum(week <= last for week in weeks),
        weeks=sum(week > last for week in weeks),
        people=found.units,
        predicted=found.predicted,
        actual=found.actual,
        ratio=found.ratio,
        ratio_interval=found.ratio_interval,
        slope=found.slope,
        slope_interval=found.slope_interval,
    )
    return held_out, sources, found.is_off


def _source(name: str, found: Check) -> SourceRatio:
    # Eight sources are looked at, and a value withheld by chance costs learning: hence 99%, and enough people.
    surely = False
    if found.ratio is not None and found.ratio_interval is not None and found.units >= MINIMUM_UNITS:
        reach = WIDER * (found.ratio_interval.upper - found.ratio)
        surely = found.ratio + reach < BAND.lower or found.ratio - reach > BAND.upper
    return SourceRatio(
        source=name or NONE,
        withheld=surely,
        people=found.units,
        predicted=found.predicted,
        actual=found.actual,
        ratio=found.ratio,
        ratio_interval=found.ratio_interval,
    )


def _status(
    cells: Sequence[Cell], ladder: Ladder | None, held_out: HeldOut | None, *, is_off: bool
) -> tuple[Literal["ok", "unchecked", "off", "too_few", "no_values"], str]:
    people = sum(cell.units for cell in cells)
    if cells and not any(cell.value for cell in cells):
        return "no_values", f"None of {people} people brought a value: the goal carries none, or nobody reached it."
    if ladder is None:
        return "too_few", "No event passes the gate yet; each says why."
    if held_out is None or held_out.ratio is None:
        return "unchecked", f"Fewer than {MINIMUM_WEEKS} weeks of journeys: nothing later to hold the values against."
    slope = f", slope {held_out.slope:.2f}" if held_out.slope is not None else ""
    figures = f"{held_out.weeks} later weeks brought {held_out.ratio:.2f} of what was predicted{slope}."
    if is_off:
        return "off", f"Surely outside 0.9 to 1.1: {figures} No value is sent until this is right again."
    return "ok", f"Learned from {held_out.learned_weeks} weeks; {figures}"


def _weeks(journeys: Journeys, cells: Sequence[Cell], ladder: Ladder, told: _Told) -> list[WeekRatio]:
    found = []
    for week in sorted({cell.week for cell in cells})[-SHOWN_WEEKS:]:
        own = [cell for cell in cells if cell.week == week]
        one = check(ladder, own)
        found.append(
            WeekRatio(
                begins=journeys.start + dt.timedelta(weeks=week),
                people=one.units,
                predicted=one.predicted,
                actual=one.actual,
                ratio=one.ratio,
                told=told.total(ladder, own),
            )
        )
    return found
