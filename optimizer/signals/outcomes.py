"""How long it took converters from an event to the goal. Only their events are read, which are few."""

from __future__ import annotations

from dataclasses import dataclass

import ibis.expr.types as ir

from optimizer.signals.cohorts import Cohort


@dataclass(frozen=True, slots=True)
class Outcome:
    """One event among the converters of one group.

    Attributes:
        before_goal: Converters that did it before, or as, they first converted.
        median_seconds: From its first occurrence to the first goal, among those.
    """

    before_goal: int = 0
    median_seconds: float | None = None


def follow_converters(seen: ir.Table, cohort: Cohort) -> dict[tuple[int, int], Outcome]:
    """Read when converters did each event, and when they converted.

    Args:
        seen: From `within_window`.
        cohort: Who is looked at.

    Returns:
        Per (group, event's place).
    """
    own = seen.filter(seen.goal_off.notnull())
    groups = own.group_by("unit_id").agg(own_group=own.group.min(where=own.off == 0))
    firsts = own.filter(own.bit != 0).group_by(["unit_id", "bit"]).agg(
        off=own.off.min(where=own.bit != 0), goal_off=own.goal_off.min()
    )  # fmt: skip
    did = firsts.inner_join(groups, "unit_id").filter(lambda row: row.off <= row.goal_off)
    waited = (did.goal_off - did.off).cast("float64")
    counted = did.group_by(["own_group", "bit"]).agg(n=did.count(), median=waited.median())
    places = {1 << place: place for place in range(len(cohort.events))}
    rows = counted.order_by(["own_group", "bit"]).to_pyarrow().to_pylist()
    return {
        (row["own_group"], places[row["bit"]]): Outcome(before_goal=int(row["n"]), median_seconds=row["median"])
        for row in rows
    }
