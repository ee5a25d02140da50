"""What units that did an event brought afterwards: sums per week, source, group and event, in one scan.

Every unit counts once per event, from when it first did it: those who brought nothing are in the mean too.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from optimizer.signals.at_risk import constants, week_of
from optimizer.signals.cohorts import Cohort

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
KEYS = ("group", "source", "week", "shard")
SHARDS = 8  # by the second in which a unit was first seen: groups of people who have nothing to do with each other


@dataclass(frozen=True, slots=True)
class Worths:
    """Sums of goal values.

    Attributes:
        keys: Per key its value in each cell; `week` is the one in which units were first seen, `shard` one of 8 parts
            drawn as if by lot, for errors; shape (cells,).
        units: Units at risk; shape (cells,).
        value: Sum of what they brought later on.
        valued: How many of them brought something with a value.
        units_with: Units that did the event before the goal; shape (events, cells).
        value_with: Sum of what those brought.
        squares_with: Sum of its squares.
    """

    keys: dict[str, Integers]
    units: Integers
    value: Floats
    valued: Integers
    units_with: Integers
    value_with: Floats
    squares_with: Floats


def sum_worths(seen: ir.Table, cohort: Cohort, landmark_hours: float | None) -> Worths:
    """Sum up, in the engine.

    Args:
        seen: From `within_window`.
        cohort: Who is looked at.
        landmark_hours: Behaviour up to here and values after it, of units that had not converted by then; None takes
            what was done before the first goal and every value in the window.
    """
    reached = seen.goal_off.notnull()
    if landmark_hours is None:
        before, at_risk = ~reached | (seen.off <= seen.goal_off), None
        later = seen.is_goal
    else:
        mark = round(landmark_hours * 3600)
        before, at_risk = seen.off <= mark, ~reached | (seen.goal_off > mark)
        later = seen.is_goal & (seen.off > mark)
    chosen = seen.filter(at_risk) if at_risk is not None else seen
    own = constants(chosen)
    units = chosen.group_by("unit_id").agg(
        done=before.ifelse(chosen.bit, ibis.literal(0, "int64")).bit_or(), worth=chosen.value.sum(where=later), **own
    )
    units = units.mutate(week=week_of(units["first"], cohort), shard=(units["first"] % SHARDS).cast("int64"))
    units = units.select(*KEYS, "done", worth=units.worth.fill_null(0.0))
    units = units.mutate(square=units.worth * units.worth)
    sums: dict[str, ir.Value] = {
        "units": units.count(),
        "value": units.worth.sum(),
        "valued": (units.worth != 0).cast("int64").sum(),
    }
    for place in range(len(cohort.events)):
        does = (units.done >> place) & 1
        sums |= {
            f"n{place}": does.sum(),
            f"v{place}": (does * units.worth).sum(),
            f"s{place}": (does * units.square).sum(),
        }
    table = units.group_by(list(KEYS)).agg(**sums).order_by(list(KEYS)).to_pyarrow()

    def matrix(prefix: str, kind: type) -> NDArray[np.float64]:
        shape = (len(cohort.events), table.num_rows)
        found = [table[f"{prefix}{place}"].to_numpy() for place in range(shape[0])]
        return np.array(found, kind).reshape(shape)

    return Worths(
        keys={name: table[name].to_numpy().astype(np.int64) for name in KEYS},
        units=table["units"].to_numpy().astype(np.int64),
        value=table["value"].to_numpy().astype(float),
        valued=table["valued"].to_numpy().astype(np.int64),
        units_with=matrix("n", np.int64).astype(np.int64),
        value_with=matrix("v", float),
        squares_with=matrix("s", float),
    )
