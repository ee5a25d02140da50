"""Which numbers per unit an experiment's metrics need, so that one scan of the events gives them all.

Metrics with the same window have the same mature units and share one row of sums (a group). A group whose metrics all
have a window, and no cap that depends on every unit, can be summed day by day and merged.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.core.stats.figures import Family, Measure
from optimizer.experiments.metrics import Resolved
from optimizer.storage.tables import Metric

Kind = Literal["proportion", "count", "sum"]
KNOWN = "known"  # 1 where the unit did anything of interest before its exposure
FAMILIES: Mapping[str, Family] = {"proportion": "proportion", "count": "mean", "sum": "mean", "ratio": "ratio"}


@dataclass(frozen=True, slots=True)
class Column:
    """One number per unit.

    Attributes:
        name: Its name in the row of sums.
        event: The event that counts.
        where: Properties it must carry.
        kind: proportion: 0 or 1; count: how often; sum: Σ value.
        before: Whether it is of the days before the exposure.
        cap: ``{"value": …}``, ``{"percentile": …}`` or None.
    """

    name: str
    event: str
    where: Mapping[str, Any]
    kind: Kind
    before: bool
    cap: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Group:
    """Metrics that share their set of mature units.

    Attributes:
        place: Its number among the groups of one scan.
        window_hours: The window they share; None without one.
        columns: Their numbers.
        measures: Metric key to the columns that make it up.
        pairs: Whose sums of products are needed, besides each column's own square.
        converters: Name of a 0/1 column "has a value" to the column that it is of.
        with_history: Whether the column `KNOWN` is needed.
    """

    place: int
    window_hours: float | None
    columns: tuple[Column, ...]
    measures: Mapping[str, Measure]
    pairs: tuple[tuple[str, str], ...]
    converters: Mapping[str, str]
    with_history: bool

    @property
    def mergeable(self) -> bool:
        """Whether its sums over a finished day never change."""
        return self.window_hours is not None and not any(_by_percentile(column.cap) for column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of its row of sums, in order."""
        own = tuple(column.name for column in self.columns)
        return (*own, *self.converters, *((KNOWN,) if self.with_history else ()))


def plan_groups(metrics: Mapping[str, Resolved], covariate_days: int, goal: str | None) -> list[Group]:
    """Lay out the numbers that some metrics need.

    Args:
        metrics: Metrics by key.
        covariate_days: Days before exposure whose numbers adjust the figures; 0 for none.
        goal: The goal metric: its products with every other metric are kept, for what experiments teach of proxies.
    """
    together: dict[tuple[float, bool], list[str]] = {}
    for key, found in metrics.items():
        shared = (found.metric.window_hours or 0.0, _by_percentile(found.metric.cap))
        together.setdefault(shared, []).append(key)
    return [
        _group(place, {key: metrics[key] for key in keys}, goal, history=covariate_days > 0)
        for place, keys in enumerate(together.values())
    ]


def _group(place: int, metrics: Mapping[str, Resolved], goal: str | None, *, history: bool) -> Group:
    columns: list[Column] = []
    measures: dict[str, Measure] = {}
    pairs: dict[tuple[str, str], None] = {}
    converters: dict[str, str] = {}
    for number, (key, found) in enumerate(metrics.items()):
        own = _columns(number, found, history=history)
        names = [column.name for column in own]
        covariates = [name for name in names if name[0] in "pq"] + ([KNOWN] if history else [])
        below = f"d{number}" if found.denominator else None
        has_value = None
        if found.metric.type != "proportion":
            has_value = f"c{number}"
            converters[has_value] = f"v{number}"
        family = FAMILIES[found.metric.type]
        measures[key] = Measure(family, f"v{number}", below, tuple(covariates), has_value)
        columns += own
        pairs.update(dict.fromkeys(itertools.combinations(names + ([KNOWN] if history else []), 2)))
    if goal in measures:
        aim = measures[goal].value
        others = [(aim, measure.value) for measure in measures.values() if measure.value != aim]
        pairs.update(dict.fromkeys(pair for pair in others if pair[::-1] not in pairs))
    window = next(iter(metrics.values())).metric.window_hours
    return Group(place, window, tuple(columns), measures, tuple(pairs), converters, history)


def _columns(number: int, found: Resolved, *, history: bool) -> list[Column]:
    metric = found.metric
    value = ("v", metric, metric.numerator or metric.type, metric.cap)
    below = ("d", found.denominator, found.denominator.type, found.denominator.cap) if found.denominator else None
    asked: list[tuple[str, Metric, str, Mapping[str, float] | None, bool]] = []
    for sources, before in ((("v", "d"), False), (("p", "q"), True)):
        if before and not history:
            continue
        for letter, source in zip(sources, (value, below), strict=True):
            if source is not None and source[1] is not None:
                asked.append((letter, source[1], source[2], source[3], before))
    return [
        Column(f"{letter}{number}", source.event, source.where, kind, before, cap)  # type: ignore[arg-type] # checked when stored
        for letter, source, kind, cap, before in asked
    ]


def _by_percentile(cap: Mapping[str, float] | None) -> bool:
    return cap is not None and "percentile" in cap
