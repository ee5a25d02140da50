"""What of signals can be identified from daily totals: reach, rates, and bounds of the lift, never the lift itself.

Cookieless tools know how many visitors did what on a day, not who did both. So nothing is promoted from totals, and
what cannot be known from them is refused by name.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from optimizer.core.signals.bounds import bound_lift
from optimizer.signals.answers import TotalsAnswer, TotalsSignal
from optimizer.storage.events import EventStore

VISIT = "visit"
REFUSED = (
    "lift, odds_ratio, p_value, q_value, incremental_auc, stability, median_hours_to_goal and expected_value need to "
    "know who did both, which daily totals do not say"
)
Cell = tuple[dt.date, str]


def bound_signals(
    store: EventStore, project_id: int, goal: str, bounds: tuple[dt.datetime | None, dt.datetime]
) -> TotalsAnswer | None:
    """Bound what each event says of the goal, from daily totals.

    Args:
        store: The event store.
        project_id: Of which project.
        goal: Canonical name.
        bounds: Days at or after, and before.

    Returns:
        None without totals of both visits and the goal.
    """
    counts = store.counts(project_id)
    counts = counts.filter(counts.experiment == "", counts.date < bounds[1].date())
    if bounds[0] is not None:
        counts = counts.filter(counts.date >= bounds[0].date())
    rows = counts.select("system", "date", "dimensions", "name", "visitors").to_pyarrow().to_pylist()
    found = _finest(rows, goal)
    if found is None:
        return None
    (system, keys), cells = found
    kept = {cell: names for cell, names in cells.items() if names.get(VISIT)}
    events = sorted({name for names in kept.values() for name in names} - {VISIT, goal})
    signals = [signal for event in events if (signal := _signal(kept.values(), event, goal)) is not None]
    days, visitors = {day for day, _ in kept}, sum(names[VISIT] for names in kept.values())
    return TotalsAnswer(
        system=system,
        dimensions=list(keys),
        days=len(days),
        visitor_days=visitors,
        base_rate=sum(names.get(goal, 0) for names in kept.values()) / visitors,
        refused=REFUSED,
        signals=signals,
    )


def _finest(
    rows: Iterable[dict[str, Any]], goal: str
) -> tuple[tuple[str, tuple[str, ...]], dict[Cell, dict[str, int]]] | None:
    # A tool may send the same visitors in total, by source and by device: one of these is taken, the finest.
    cuts: dict[tuple[str, tuple[str, ...]], dict[Cell, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        keys = tuple(sorted(json.loads(row["dimensions"])))
        cuts[row["system"], keys][row["date"], row["dimensions"]][row["name"]] = row["visitors"]
    fitting = [
        (len(keys), sum(names.get(VISIT, 0) for names in cells.values()), (system, keys))
        for (system, keys), cells in cuts.items()
        if any(names.get(VISIT) and goal in names for names in cells.values())
    ]
    if not fitting:
        return None
    *_, best = max(fitting)
    return best, cuts[best]


def _signal(cells: Iterable[Mapping[str, int]], event: str, goal: str) -> TotalsSignal | None:
    table = np.array([(names[VISIT], names.get(event, 0), names.get(goal, 0)) for names in cells], float).T
    visitors = table[0]
    if (table > visitors).any():
        detail = "On some day more visitors did it, or converted, than came (`visit`): one of the totals is wrong."
        return TotalsSignal(event=event, reach=None, rate_with=None, rate_without=None, lift=None, detail=detail)
    found, reach = bound_lift(*table), float(table[1].sum() / visitors.sum())
    if found is None:
        said = "Nobody or everybody did it, or nobody converted, so there is nothing to compare."
        return TotalsSignal(event=event, reach=reach, rate_with=None, rate_without=None, lift=None, detail=said)
    low, high = found.lift
    ends = f"{low:.2f} and {'any size' if high is None else format(high, '.2f')}"
    return TotalsSignal(
        event=event,
        reach=reach,
        rate_with=found.rate_with,
        rate_without=found.rate_without,
        lift=found.lift,
        detail=f"Totals are compatible with every lift between {ends}: send events to know it.",
    )
