"""Who is in an experiment, as tables of the engine: a unit once, from its first exposure, in one variant.

Units seen in two variants are left out and counted; so are exposures to variants that the design does not know,
exposures without the design's kind of id, and exposures before the start or after the stop.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from optimizer.storage.events import EventStore, naive_utc
from optimizer.storage.tables import Experiment

UNIT_COLUMNS = {"user": "unit_id", "anonymous": "anonymous_id", "session": "session_id"}


@dataclass(frozen=True, slots=True)
class Members:
    """The clean units of one variant that were first exposed on one day.

    Attributes:
        units: How many.
        seconds: Σ of the second of the day of their exposures: differs where the units differ.
        merged: Those who were exposed as an anonymous visitor and are a user by now.
    """

    units: int
    seconds: int
    merged: int


@dataclass(frozen=True, slots=True)
class Exposed:
    """Who was exposed.

    Attributes:
        days: UTC day of the first exposure, then variant of the design, to its clean units.
        mixed: Units seen in more than one variant.
        unknown: Units seen only in variants that the design does not know.
        unidentified: Exposures without the design's kind of id.
        keys: Variants of the design.
    """

    days: Mapping[dt.date, Mapping[str, Members]]
    mixed: int
    unknown: int
    unidentified: int
    keys: tuple[str, ...]

    @property
    def units(self) -> dict[str, int]:
        """Clean units per variant of the design."""
        return {key: sum(day[key].units for day in self.days.values()) for key in self.keys}

    @property
    def merged(self) -> dict[str, int]:
        """Units per variant that were anonymous when exposed and are users by now."""
        return {key: sum(day[key].merged for day in self.days.values()) for key in self.keys}


def count_exposed(store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime) -> Exposed:
    """Count the units first exposed between the experiment's start and `until` (or its stop)."""
    seen = people(store, project_id, experiment, until=until)
    seconds = seen["first"].hour() * 3600 + seen["first"].minute() * 60 + seen["first"].second()
    by_day = seen.group_by("variant", "mixed", day=seen["first"].date(), nameless=(seen.unit == "").cast("int8")).agg(
        n=seen.count(),
        seconds=seconds.cast("int64").sum(),
        merged=seen.merged.cast("int64").sum(),
        exposures=seen.exposures.sum(),
    )
    found = by_day.to_pyarrow().to_pylist()
    rows = [row for row in found if not row["nameless"]]
    keys = tuple(variant["key"] for variant in experiment.variants)
    clean = [row for row in rows if not row["mixed"]]
    days: dict[dt.date, dict[str, Members]] = {
        day: dict.fromkeys(keys, Members(0, 0, 0))
        for day in sorted({row["day"] for row in clean if row["variant"] in keys})
    }
    for row in clean:
        if row["variant"] in keys:
            days[row["day"]][row["variant"]] = Members(row["n"], row["seconds"], row["merged"])
    return Exposed(
        days=days,
        mixed=sum(row["n"] for row in rows if row["mixed"]),
        unknown=sum(row["n"] for row in clean if row["variant"] not in keys),
        unidentified=sum(row["exposures"] for row in found if row["nameless"]),
        keys=keys,
    )


def clean_people(store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime) -> ir.Table:
    """Return the units that count: `unit`, `arm` (place of the variant in the design) and `first` exposure."""
    keys = [variant["key"] for variant in experiment.variants]
    seen = people(store, project_id, experiment, until=until)
    seen = seen.filter(seen.unit != "", seen.mixed == 0, seen.variant.isin(keys))
    arm = ibis.cases(*[(seen.variant == key, place) for place, key in enumerate(keys)]).cast("int16")
    return seen.select("unit", "first", arm=arm)


def people(store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime) -> ir.Table:
    """Return one row per exposed unit: `unit`, `variant`, whether `mixed`, whether `merged`, and `first` exposure.

    Exposures without the design's kind of id are together in the row whose unit is empty.
    """
    shown = _shown(store, project_id, experiment, until)
    named = shown.mutate(unit=shown[UNIT_COLUMNS[experiment.unit]].fill_null(""))
    nameless = named.user_id.isnull() | (named.user_id == "")
    return named.group_by("unit").agg(
        variant=named.variant.min(),
        mixed=(named.variant.min() != named.variant.max()).cast("int8"),
        merged=(named.unit_id.startswith("u:") & nameless).cast("int8").max(),
        first=named.timestamp.min(),
        exposures=named.count(),
    )


def _shown(store: EventStore, project_id: int, experiment: Experiment, until: dt.datetime) -> ir.Table:
    exposures = store.exposures(project_id)
    if experiment.started_at is None:
        return exposures.filter(ibis.literal(value=False))
    end = min(until, experiment.stopped_at) if experiment.stopped_at else until
    return exposures.filter(
        exposures.experiment == experiment.key,
        exposures.timestamp >= naive_utc(experiment.started_at),
        exposures.timestamp < naive_utc(end),
    )
