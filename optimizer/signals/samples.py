"""A bounded sample of units for the out-of-fold models, the same one every time it is asked for.

Units are drawn by the engine's own hash of their id, so that the sample changes only where the data does. Converters
are scarce and therefore drawn more densely; weights undo that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

SAMPLED_CONVERTERS = 4_000
SAMPLED_OTHERS = 12_000
SHARDS = 16
SHARD_BITS, DRAW_BITS = 4, 20
FEATURES = ("period", "recency", "activity", "source", "device")
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Person-periods (or units at the landmark) of sampled units; alike ones are one row.

    Attributes:
        features: period, recency, activity, source, device; each of shape (rows,).
        group: What units are split by.
        done: Bits of the events done by then.
        shard: 0 to 15: rows of one unit are all in one shard.
        units: How many a row stands for, sampling undone; shape (rows,).
        converts: Of those, how many are followed by the goal.
    """

    features: dict[str, Integers]
    group: Integers
    done: Integers
    shard: Integers
    units: NDArray[np.float64]
    converts: NDArray[np.float64]

    def of_group(self, group: int) -> Sample:
        """Keep one group."""
        kept = self.group == group
        return Sample(
            {name: values[kept] for name, values in self.features.items()},
            self.group[kept],
            self.done[kept],
            self.shard[kept],
            self.units[kept],
            self.converts[kept],
        )


def sampled_people(units: ir.Table, converters: int, others: int) -> tuple[ir.Table, float, float]:
    """Keep the sampled units.

    Args:
        units: From `people`.
        converters: How many of them convert.
        others: How many do not.

    Returns:
        The units, and the shares of converters and of others that were kept.
    """
    shares = [min(1.0, wanted / max(1, there)) for wanted, there in
              ((SAMPLED_CONVERTERS, converters), (SAMPLED_OTHERS, others))]  # fmt: skip
    drawn = (units.unit_id.hash() >> SHARD_BITS) & ((1 << DRAW_BITS) - 1)
    below = [drawn < math.ceil(share * (1 << DRAW_BITS)) for share in shares]
    return units.filter(units.goal_off.notnull().ifelse(*below)), shares[0], shares[1]


def read_sample(rows: ir.Table, shares: tuple[float, float]) -> Sample:
    """Read the sampled units' rows at risk.

    Args:
        rows: From `person_periods` or `at_landmark`, of sampled units.
        shares: Of converters and of others, as kept.
    """
    at_risk = rows.filter(rows.risk)
    at_risk = at_risk.mutate(
        shard=(at_risk.unit_id.hash() & (SHARDS - 1)).cast("int64"), converter=at_risk.converter.cast("int64")
    )
    keys = [*FEATURES, "group", "shard", "done", "converter"]
    found = at_risk.group_by(keys).agg(n=at_risk.count(), c=at_risk.converts.cast("int64").sum())
    table = found.order_by(keys).to_pyarrow()
    integers = {name: table[name].to_numpy().astype(np.int64) for name in (*keys, "n", "c")}
    weight = 1 / np.where(integers["converter"] > 0, *shares)
    return Sample(
        features={name: integers[name] for name in FEATURES},
        group=integers["group"],
        done=integers["done"],
        shard=integers["shard"],
        units=integers["n"] * weight,
        converts=integers["c"] * weight,
    )
