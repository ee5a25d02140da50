"""Who could still convert, when, and what they had done by then: per unit and period, or per unit at a landmark.

A person-period is a period of a unit's time since first seen in which it was active. At its end the unit has not
converted yet; what it did until then is known; and it either converts in the next period in which it shows up or does
not. Each unit so counts for as long as it is there, in comparison with others that are there too, and the outcomes of
its periods are uncorrelated given the past, which is what the variances rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from optimizer.core.signals.grids import CAPPED_ACTIVITY, RECENCY_SHARES
from optimizer.signals.cohorts import DAY, MONDAY, Cohort

# A period's level: the first four by themselves, then doubling.
PERIOD_LEVELS = (1, 2, 3, *(2**power for power in range(2, 22)))
TRAITS = ("source", "device", "group")


@dataclass(frozen=True, slots=True)
class View:
    """How time at risk is cut.

    Attributes:
        hours: Length of a period, or from first seen to the landmark.
        landmark: Whether it is one landmark.
    """

    hours: float
    landmark: bool

    def rows(self, seen: ir.Table, cohort: Cohort) -> ir.Table:
        """Return who is at risk; see `person_periods`.

        Args:
            seen: From `within_window`.
            cohort: Who is looked at.
        """
        return (at_landmark if self.landmark else person_periods)(seen, cohort, self.hours)


def goals_after(
    units: ir.Table, hours: Sequence[float], *, landmark: bool = False
) -> tuple[int, int, list[tuple[float, int]]]:
    """Count units, converters, and those that convert so many hours after first seen or later.

    Args:
        units: From `people`.
        hours: Each gets a count.
        landmark: Whether converting at that very moment is too early, as it is at a landmark.
    """
    counts = {
        f"h{place}": (units.goal_off >= _seconds(value) + landmark).fill_null(False).cast("int64").sum()  # noqa: FBT003 - Ibis' own
        for place, value in enumerate(hours)
    }
    converters = units.goal_off.notnull().cast("int64").sum()
    [row] = units.agg(everybody=units.count(), converters=converters, **counts).to_pyarrow().to_pylist()
    return (
        row["everybody"],
        row["converters"] or 0,
        [(value, row[f"h{place}"] or 0) for place, value in enumerate(hours)],
    )


def person_periods(seen: ir.Table, cohort: Cohort, period_hours: float) -> ir.Table:
    """Return every person-period at risk, and the first one of units that convert within it.

    Args:
        seen: From `within_window`.
        cohort: Who is looked at.
        period_hours: Length of a period.

    Returns:
        unit_id; `risk`, `converts`, `opens`, `closes`: whether it is at risk, is followed by the goal, is the
        unit's first and its last; `converter`: whether the unit ever converts; `done` and `ever`: bits of what it had
        done by the end of the period and of what it ever does; levels of `period` and `recency`; `activity`: events
        so far, capped; `week`; and the unit's numbered `source`, `device` and `group` at its first event.
    """
    length = _seconds(period_hours)
    placed = seen.mutate(place=_floor_division(seen.off, length), goal_place=_floor_division(seen.goal_off, length))
    active = placed.group_by(["unit_id", "place"]).agg(
        events=placed.count(),
        bits=placed.bit.bit_or(),
        last=placed.off.max(),
        goal_place=placed.goal_place.min(),
        **constants(placed),
    )
    whole = ibis.window(group_by="unit_id")
    past = ibis.window(group_by="unit_id", order_by="place", preceding=None, following=0)
    order = ibis.window(group_by="unit_id", order_by="place")
    rows = active.mutate(
        activity=active.events.sum().over(past),
        done=active.bits.bit_or().over(past),
        following=active.place.lead(1).over(order),
        ever=active.bits.bit_or().over(whole),
        **{name: active[name].max().over(whole) for name in TRAITS},
    )
    converter = rows.goal_place.notnull()
    risk = ~converter | (rows.place < rows.goal_place)
    rows = rows.filter(risk | (rows.place == 0))
    converts = _true(rows.following == rows.goal_place)
    gap = (rows.place + 1) * length - rows["last"]
    return rows.select(
        "unit_id",
        "done",
        "ever",
        *TRAITS,
        risk=risk,
        converts=converts,
        opens=rows.place == 0,
        closes=risk & (rows.following.isnull() | converts),
        converter=converter,
        period=_level(rows.place, PERIOD_LEVELS),
        recency=_level(gap, [int(share * length) + 1 for share in RECENCY_SHARES]),
        activity=rows.activity.clip(upper=CAPPED_ACTIVITY).cast("int64"),
        week=week_of(rows["first"] + rows["last"], cohort),
    )


def at_landmark(seen: ir.Table, cohort: Cohort, landmark_hours: float) -> ir.Table:
    """Return one row per unit as it stands at the landmark; the same columns as `person_periods`.

    Units that converted by then are not at risk.
    """
    mark = _seconds(landmark_hours)
    before = seen.off <= mark
    nothing = ibis.literal(0, "int64")
    units = seen.group_by("unit_id").agg(
        activity=before.cast("int64").sum(),
        done=before.ifelse(seen.bit, nothing).bit_or(),
        ever=seen.bit.bit_or(),
        last=seen.off.max(where=before),
        goal_off=seen.goal_off.min(),
        **constants(seen),
    )
    risk = units.goal_off.isnull() | (units.goal_off > mark)
    gap = mark - units["last"]
    return units.select(
        "unit_id",
        "done",
        "ever",
        *TRAITS,
        risk=risk,
        converts=_true(units.goal_off > mark),
        opens=ibis.literal(value=True),
        closes=risk,
        converter=units.goal_off.notnull(),
        period=nothing,
        recency=_level(gap, [int(share * mark) + 1 for share in RECENCY_SHARES]),
        activity=units.activity.clip(upper=CAPPED_ACTIVITY).cast("int64"),
        week=week_of(units["first"] + mark, cohort),
    )


def constants(seen: ir.Table) -> dict[str, ir.Value]:
    """Return what is the same in all rows of a unit, to be aggregated per unit: `first` and its numbered traits.

    Traits are those of its first event (of several at once, the first by number, so that engines agree).
    """
    at_first = seen.off == 0
    return {"first": seen["first"].min(), **{name: seen[name].min(where=at_first) for name in TRAITS}}


def _level(value: ir.IntegerValue, bounds: Sequence[int]) -> ir.IntegerValue:
    return sum(((value >= bound).cast("int64") for bound in bounds), ibis.literal(0, "int64"))


def week_of(at: ir.IntegerValue, cohort: Cohort) -> ir.IntegerValue:
    """Return the number of the slice of weeks in which a moment (seconds since 1970) lies."""
    weeks = _floor_division(_floor_division(at, DAY) + MONDAY, 7) - cohort.first_week
    return _floor_division(weeks, cohort.weeks)


def _floor_division(value: ir.IntegerValue, by: int) -> ir.IntegerValue:
    return (value // by).cast("int64")


def _true(condition: ir.BooleanValue) -> ir.BooleanValue:
    return condition.fill_null(False)  # noqa: FBT003 - Ibis' own signature


def _seconds(hours: float) -> int:
    return max(1, round(hours * 3600))
