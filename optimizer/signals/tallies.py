"""The one scan that counts every event in every stratum, and what is summed up from it afterwards.

Strata are as fine as any question asked of them: the whole ranking, each week, source, device and group are sums of
the same few thousand rows, so nothing is asked of the engine twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from optimizer.core.signals.grids import activity_level
from optimizer.core.signals.strata import Strata
from optimizer.signals.cohorts import Cohort

Integers = NDArray[np.int64]
Kept = NDArray[np.bool_]
LEVELS = ("period", "recency", "activity")
LETTERS = "dcueb"  # of columns: done, converts, units, ever, bought
RADIX = 64  # above every level and number of a trait


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of units or person-periods per stratum ("cell") and event.

    Attributes:
        keys: Per name of a level or trait, its value in each cell; shape (cells,).
        sums: risk, converts: person-periods at risk and those followed by the goal; opens: units at risk; early:
            units that converted before they were; converters: units that ever do, early ones included; of shape
            (cells,).
        done: Person-periods at risk by when the event was done; shape (events, cells).
        done_converts: Of those, the ones followed by the goal.
        done_units: Units that did it while at risk.
        ever: Units that ever did it in the window, also after the goal.
        ever_converters: Of those, the ones that ever convert.
    """

    keys: dict[str, Integers]
    sums: dict[str, Integers]
    done: Integers
    done_converts: Integers
    done_units: Integers
    ever: Integers
    ever_converters: Integers
    _levels: dict[str, Integers] = field(default_factory=dict)

    def everything(self) -> Kept:
        """Select every cell."""
        return np.ones(len(self.sums["risk"]), bool)

    def total(self, name: str, kept: Kept) -> int:
        """Add one of `sums` up."""
        return int(self.sums[name][kept].sum())

    def strata(self, event: int, kept: Kept, by: Sequence[str]) -> tuple[Strata, dict[str, Integers]]:
        """Make the event's fourfold tables.

        The event itself is not activity: who did it is compared with those who have done as much *else*.

        Args:
            event: Its place.
            kept: Cells to add up.
            by: Keys to stratify by; empty gives one table.

        Returns:
            The tables, and each key's value per table.
        """
        used = np.flatnonzero(kept)
        with_, with_converts = self.done[event, used], self.done_converts[event, used]
        without = self.sums["risk"][used] - with_
        without_converts = self.sums["converts"][used] - with_converts
        codes = [self._code(used, by, others=others) for others in (True, False)]
        found, place = np.unique(np.concatenate(codes), return_inverse=True)
        halves = np.split(place, 2)
        parts = [
            np.bincount(half, counts, minlength=len(found))
            for half, counts in (
                (halves[0], with_), (halves[0], with_converts), (halves[1], without), (halves[1], without_converts)
            )
        ]  # fmt: skip
        filled = parts[0] + parts[2] > 0
        values = {name: found // RADIX**power % RADIX for power, name in enumerate(by)}
        return Strata(*(part[filled].astype(float) for part in parts)), {
            name: value[filled] for name, value in values.items()
        }

    def _code(self, used: Integers, by: Sequence[str], *, others: bool) -> Integers:
        code = np.zeros(len(used), np.int64)
        for power, name in enumerate(by):
            values = self.keys[name][used]
            if name == "activity":
                values = ACTIVITY_LEVELS[values - 1 if others else values]
            code += values * RADIX**power
        return code


ACTIVITY_LEVELS = np.array(
    [*(activity_level(events) for events in range(RADIX)), 0]
)  # the last is for "no event", -1


def count(rows: ir.Table, cohort: Cohort, by: Sequence[str]) -> Tally:
    """Count, in the engine.

    Args:
        rows: From `person_periods` or `at_landmark`.
        cohort: Who is looked at.
        by: Traits and week, to be kept apart beside the levels.
    """
    keys = [*LEVELS, *by]
    prepared = _prepared(rows, by)
    found = prepared.group_by(keys).agg(**_sums(prepared, len(cohort.events))).order_by(keys).to_pyarrow()
    columns = {name: _numbers(found[name]) for name in found.column_names}

    def matrix(prefix: str) -> Integers:
        shape = (len(cohort.events), found.num_rows)
        stacked = [columns[f"{prefix}{place}"] for place in range(shape[0])]
        return np.array(stacked, np.int64).reshape(shape)

    return Tally(
        keys={name: columns[name] for name in keys},
        sums={name: columns[name] for name in ("risk", "converts", "opens", "early", "converters")},
        done=matrix("d"),
        done_converts=matrix("c"),
        done_units=matrix("u"),
        ever=matrix("e"),
        ever_converters=matrix("b"),
    )


def _sums(rows: ir.Table, events: int) -> dict[str, ir.Value]:
    sums = {name: rows[name].cast("int64").sum() for name in ("risk", "converts", "opens", "early", "converters")}
    for place in range(events):
        sums |= {f"{letter}{place}": ((rows[letter] >> place) & 1).sum() for letter in LETTERS}
    return sums


def _prepared(rows: ir.Table, by: Sequence[str]) -> ir.Table:
    # Bits that do not count in a row are cleared once, not once per event.
    nothing = ibis.literal(0, "int64")
    opens = rows.opens & rows.risk
    return rows.select(
        *LEVELS,
        *by,
        "risk",
        "converts",
        opens=opens,
        early=rows.opens & ~rows.risk,
        converters=rows.opens & rows.converter,
        d=rows.risk.ifelse(rows.done, nothing),
        c=rows.converts.ifelse(rows.done, nothing),
        u=rows.closes.ifelse(rows.done, nothing),
        e=rows.opens.ifelse(rows.ever, nothing),
        b=(rows.opens & rows.converter).ifelse(rows.ever, nothing),
    )


def _numbers(column: pa.ChunkedArray) -> Integers:
    numbers: Integers = column.fill_null(0).to_numpy().astype(np.int64)
    return numbers
