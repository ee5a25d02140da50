"""The sums of finished days, kept: a day's units are summed once, however often and however long results are read.

A day of first exposures is finished for metrics of one window once that window and the time that events may be late
have passed for all its units; later events no longer change it. A unit that is seen in a second variant later leaves
its day, and that day is summed again: what is kept names its members.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.effects import Floats
from optimizer.experiments.cohort import Exposed
from optimizer.experiments.columns import Group
from optimizer.experiments.scan import Scan, sum_up
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Experiment, FinishedCohort

LATENESS = dt.timedelta(hours=48)
DAY = dt.timedelta(days=1)
Days = dict[dt.date, CrossMoments]


def sum_by_day(
    stores: Stores, experiment: Experiment, groups: list[Group], exposed: Exposed, *, as_of: dt.datetime
) -> dict[int, Days]:
    """Sum every group over mature units by day of first exposure, from what is kept and one scan for the rest.

    Returns:
        Place of the group → day → sums per variant.
    """
    ledger = _Ledger(stores, experiment, exposed, as_of)
    kept = {group.place: ledger.read(group) for group in groups}
    first = min(exposed.days, default=as_of.date())
    since = {group.place: max(kept[group.place], default=first - DAY) + DAY for group in groups}
    scan = Scan(groups, as_of, since)
    if _nothing_left(scan, max(exposed.days, default=first - DAY)):
        return kept
    fresh = sum_up(stores.events, experiment.project_id, experiment, scan)
    for group in groups:
        ledger.write(group, fresh[group.place])
    return {group.place: {**kept[group.place], **fresh[group.place]} for group in groups}


def total(days: Mapping[dt.date, CrossMoments], arms: tuple[str, ...], group: Group) -> CrossMoments:
    """Merge days."""
    merged = CrossMoments.empty(arms, group.names)
    for row in days.values():
        merged += row
    return merged


def _nothing_left(scan: Scan, last: dt.date) -> bool:
    # Nobody was first exposed from `since` on, or nobody of them has had the window yet.
    return all(
        scan.since[group.place] > last
        or (
            group.window_hours is not None
            and _midnight(scan.since[group.place]) + dt.timedelta(hours=group.window_hours) > scan.as_of
        )
        for group in scan.groups
    )


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The finished days of one experiment, as far as its members are still the same."""

    stores: Stores
    experiment: Experiment
    exposed: Exposed
    as_of: dt.datetime

    def read(self, group: Group) -> Days:
        """Return the days from the first on that can be used as they are."""
        if not group.mergeable:
            return {}
        own = select(FinishedCohort).where(
            FinishedCohort.experiment_id == self.experiment.id,
            FinishedCohort.definition == _definition(self.experiment, group),
        )
        with self.stores.control.reading() as session:
            stored = {row.day: row for row in session.exec(own)}
        found: Days = {}
        for day in self.exposed.days:  # in order; the first that is not kept as it is ends what can be used
            row = stored.get(day)
            if row is None or row.members != self._members(day) or not _finished(day, group, self.as_of):
                break
            found[day] = _revived(row.sums, self.exposed.keys, group)
        return found

    def write(self, group: Group, fresh: Days) -> None:
        """Keep the days that are finished."""
        done = [day for day in fresh if _finished(day, group, self.as_of)]
        if not done or not group.mergeable or self.experiment.id is None:
            return
        definition = _definition(self.experiment, group)
        own = select(FinishedCohort).where(
            FinishedCohort.experiment_id == self.experiment.id, FinishedCohort.definition == definition
        )
        try:
            with self.stores.control.session() as session:
                rows = {row.day: row for row in session.exec(own.where(col(FinishedCohort.day).in_(done)))}
                for day in done:
                    new = FinishedCohort(experiment_id=self.experiment.id, definition=definition, day=day)
                    row = rows.get(day, new)
                    row.members, row.sums = self._members(day), _plain(fresh[day])
                    session.add(row)
        except IntegrityError:
            return  # somebody else kept the same days meanwhile

    def _members(self, day: dt.date) -> dict[str, Any]:
        return {key: [found.units, found.seconds] for key, found in self.exposed.days[day].items()}


def _finished(day: dt.date, group: Group, as_of: dt.datetime) -> bool:
    return _midnight(day) + DAY + dt.timedelta(hours=group.window_hours or 0.0) + LATENESS <= as_of


def _definition(experiment: Experiment, group: Group) -> str:
    columns = [asdict(column) for column in group.columns]
    known = [experiment.unit, experiment.covariate_days, str(experiment.started_at), str(experiment.stopped_at)]
    arms = [variant["key"] for variant in experiment.variants]
    everything = [group.window_hours, columns, group.names, group.pairs, known, arms]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _plain(row: CrossMoments) -> dict[str, Any]:
    return {"n": row.n.tolist(), "totals": _unknown_as_none(row.totals), "products": _unknown_as_none(row.products)}


def _unknown_as_none(numbers: Floats) -> list[Any]:
    found = numbers.astype(object)
    found[np.isnan(numbers)] = None
    listed: list[Any] = found.tolist()
    return listed


def _revived(sums: Mapping[str, Any], arms: tuple[str, ...], group: Group) -> CrossMoments:
    shape = (len(arms), len(group.names))
    return CrossMoments(
        arms,
        group.names,
        np.array(sums["n"], float),
        np.array(sums["totals"], float).reshape(shape),
        np.array(sums["products"], float).reshape(*shape, shape[1]),
    )


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
