"""What one look is made of, from whichever source an experiment has: exposures and events, or daily totals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from optimizer.core.stats.cross import CrossMoments
from optimizer.experiments.cohort import Exposed
from optimizer.experiments.columns import Group, plan_groups
from optimizer.experiments.finished import Days, sum_by_day
from optimizer.experiments.metrics import Resolved
from optimizer.experiments.quantiles import nobody, read_quantiles, summable
from optimizer.experiments.totals import Totals, read_totals
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment


@dataclass(frozen=True, slots=True)
class Gathered:
    """Sums over units, and who they are.

    Attributes:
        arms: Variants of the design.
        units: Clean units per variant, mature or not.
        units_by_day: UTC day of first exposure → variant → clean units.
        groups: Metrics by shared set of mature units.
        days: Place of a group → day → sums.
        exposed: Who was exposed; None where only daily totals are known.
        refused: Metrics that daily totals cannot give, and why.
        quantiles: Rows of the metrics that are no sums, by key.
        notes: What a reader must know of the source.
    """

    arms: tuple[str, ...]
    units: dict[str, int]
    units_by_day: Mapping[dt.date, Mapping[str, int]]
    groups: list[Group]
    days: Mapping[int, Days]
    exposed: Exposed | None
    refused: Mapping[str, str]
    quantiles: Mapping[str, CrossMoments]
    notes: tuple[str, ...] = ()

    def units_of(self, metric: str) -> int:
        """Return the mature units of one metric, over all variants; 0 where it has no sums."""
        if metric in self.quantiles:
            return round(float(self.quantiles[metric].n.sum()))
        return sum(round(float(row.n.sum())) for row in self.days_of(metric).values())

    def days_of(self, metric: str) -> Days:
        """Return the sums of one metric's group by day; empty where it has none."""
        return next((self.days[group.place] for group in self.groups if metric in group.measures), {})


def gather(
    stores: Stores, experiment: Experiment, metrics: Mapping[str, Resolved], exposed: Exposed, *, as_of: dt.datetime
) -> Gathered:
    """Sum up what is known by `as_of`; daily totals speak where no exposure of the experiment was ever seen."""
    if not exposed.days and not exposed.mixed and not exposed.unknown and not exposed.unidentified:
        found = read_totals(stores.events, experiment, metrics, as_of=as_of)
        if found is not None:
            return _of_totals(found, exposed.keys)
    quantiles = read_quantiles(stores.events, experiment, metrics, as_of=as_of)
    groups = plan_groups(summable(metrics), experiment.covariate_days, experiment.goal_metric)
    return Gathered(
        arms=exposed.keys,
        units=exposed.units,
        units_by_day={
            day: {key: members.units for key, members in by_arm.items()} for day, by_arm in exposed.days.items()
        },
        groups=groups,
        days=sum_by_day(stores, experiment, groups, exposed, as_of=as_of),
        exposed=exposed,
        refused={},
        quantiles={key: rows.get("", nobody(exposed.keys)) for key, rows in quantiles.items()},
    )


def _of_totals(found: Totals, arms: tuple[str, ...]) -> Gathered:
    units = {arm: sum(day[arm] for day in found.visitors.values()) for arm in arms}
    return Gathered(arms, units, found.visitors, found.groups, found.days, None, found.refused, {}, found.notes)
