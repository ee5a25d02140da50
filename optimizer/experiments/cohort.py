"""Who is in an experiment, as tables of the engine: a unit once, from its first exposure, in one variant.

Units seen in two variants are left out and counted; so are exposures to variants that the design does not know,
exposures without the design's kind of id, and exposures before the start or after the stop.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        seconds: Σ of the times of their exposures, in seconds since 1970: differs where the units differ.
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
        by_now: Variant of the design to its clean units of a later moment; of the same where none was asked.
    """

    days: Mapping[dt.date, Mapping[str, Members]]
    mixed: int
    unknown: int
    unidentified: int
    keys: tuple[str, ...]
    by_now: Mapping[str, int]

    @property
    def units(self) -> dict[str, int]:
        """Clean units per variant of the design."""
        return {key: sum(day[key].units for day in self.days.values()) for key in self.keys}

    @property
    def merged(self) -> dict[str, int]:
        """Units per variant that were anonymous when exposed and are users by now."""
        return {key: sum(day[key].merged for day in self.days.values()) for key in self.keys}


def count_exposed(
    store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime, now: dt.datetime | None = None
) -> Exposed:
    """Count the units first exposed between the experiment's start and `until` (or its stop).

    Args:
        store: The event store.
        project_id: The project.
        experiment: The design.
        until: Exposures before it.
        now: Also count the clean units of this later moment: asked together, it costs half as much.
    """
    seen = _people(_shown(store, project_id, experiment, max(until, now or until)), until)
    both = ("arm", "mixed", "arm_now", "mixed_now")
    by_day = seen.group_by(*both, day=seen["first"].date(), nameless=(seen.unit == "").cast("int8")).agg(
        n=seen.count(),
        seconds=(seen["first"].epoch_seconds() // 1).sum(),  # DuckDB keeps the fractions of a second
        merged=seen.merged.cast("int64").sum(),
        exposures=seen.exposures.sum(),
    )
    found = by_day.to_pyarrow().to_pylist()
    named = [row for row in found if not row["nameless"]]
    rows = [row for row in named if row["arm"] is not None]
    keys = tuple(variant["key"] for variant in experiment.variants)
    days, by_now = _by_day(rows, keys), Counter[int]()
    for row in named:
        if not row["mixed_now"]:
            by_now[row["arm_now"]] += row["n"]
    return Exposed(
        days=days,
        mixed=sum(row["n"] for row in rows if row["mixed"]),
        unknown=sum(row["n"] for row in rows if not row["mixed"] and row["arm"] >= len(keys)),
        unidentified=sum(row["exposures"] for row in found if row["nameless"]),
        keys=keys,
        by_now={key: by_now[place] for place, key in enumerate(keys)},
    )


def _by_day(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[dt.date, dict[str, Members]]:
    clean = [row for row in rows if not row["mixed"] and row["arm"] < len(keys)]
    days = {day: dict.fromkeys(keys, Members(0, 0, 0)) for day in sorted({row["day"] for row in clean})}
    for row in clean:  # several where some have been in another variant since
        key = keys[row["arm"]]
        before = days[row["day"]][key]
        days[row["day"]][key] = Members(
            before.units + row["n"], before.seconds + row["seconds"], before.merged + row["merged"]
        )
    return days


def count_clean(store: EventStore, project_id: int, experiment: Experiment, *, until: dt.datetime) -> dict[str, int]:
    """Count the units per variant that count, and nothing else: what every reading shows as of now."""
    clean = _lone(_shown(store, project_id, experiment, until), experiment)
    clean = clean.filter(clean.unit != "")
    counted = clean.group_by("arm").agg(n=clean.count()).to_pyarrow().to_pylist()
    by_place = {row["arm"]: row["n"] for row in counted}
    return {variant["key"]: by_place.get(place, 0) for place, variant in enumerate(experiment.variants)}


def clean_people(
    store: EventStore,
    project_id: int,
    experiment: Experiment,
    *,
    until: dt.datetime,
    since: dt.datetime | None = None,
) -> ir.Table:
    """Return the units that count: `unit`, `arm` (place of the variant in the design) and `first` exposure.

    Args:
        store: The event store.
        project_id: The project.
        experiment: The design.
        until: Exposures before it.
        since: Only units first exposed from then on.
    """
    shown = _shown(store, project_id, experiment, until)
    if since is not None and experiment.started_at is not None and since > experiment.started_at:
        # Whoever was not exposed since then need not be grouped.
        late = shown.filter(shown.timestamp >= naive_utc(since)).select("unit").distinct()
        shown = shown.semi_join(late, "unit")
    people = _lone(shown, experiment)
    people = people.filter(people.unit != "")
    if since is not None:
        people = people.filter(people["first"] >= naive_utc(since))
    return people.select("unit", "first", "arm")


def _lone(shown: ir.Table, experiment: Experiment) -> ir.Table:
    """Return one row per unit that was only ever in one variant of the design."""
    people = shown.group_by("unit").agg(arm=shown.arm.min(), last=shown.arm.max(), first=shown.timestamp.min())
    return people.filter(people.arm == people["last"], people.arm < len(experiment.variants))


def _people(shown: ir.Table, until: dt.datetime) -> ir.Table:
    """Return one row per exposed unit: `unit`, `arm`, whether `mixed`, whether `merged`, and `first` exposure.

    They are of the exposures before `until`, and null for whoever has none; `arm_now` and `mixed_now` are of all.
    Exposures without the design's kind of id are together in the row whose unit is empty.
    """
    known = shown.timestamp < naive_utc(until)
    nameless = shown.user_id.isnull() | (shown.user_id == "")
    shown = shown.mutate(
        known=known.cast("int8"),
        known_arm=known.ifelse(shown.arm, ibis.null("int16")),
        known_at=known.ifelse(shown.timestamp, ibis.null("timestamp(6)")),
        merged=(known & shown.unit_id.startswith("u:") & nameless).cast("int8"),
    )
    people = shown.group_by("unit").agg(
        arm=shown.known_arm.min(),
        last=shown.known_arm.max(),
        arm_now=shown.arm.min(),
        last_now=shown.arm.max(),
        merged=shown.merged.max(),
        first=shown.known_at.min(),
        exposures=shown.known.cast("int64").sum(),
    )
    mixed, mixed_now = people.arm != people["last"], people.arm_now != people.last_now
    return people.mutate(mixed=mixed.cast("int8"), mixed_now=mixed_now.cast("int8"))


def _shown(store: EventStore, project_id: int, experiment: Experiment, until: dt.datetime) -> ir.Table:
    """Return exposures that count, with `unit` and `arm`: the variant's place, those behind the last unknown."""
    exposures = store.exposures(project_id)
    keys = [variant["key"] for variant in experiment.variants]
    arm = ibis.cases(*[(exposures.variant == key, place) for place, key in enumerate(keys)], else_=len(keys))
    exposures = exposures.mutate(unit=exposures[UNIT_COLUMNS[experiment.unit]].fill_null(""), arm=arm.cast("int16"))
    if experiment.started_at is None:
        return exposures.filter(ibis.literal(value=False))
    end = min(until, experiment.stopped_at) if experiment.stopped_at else until
    return exposures.filter(
        exposures.experiment == experiment.key,
        exposures.timestamp >= naive_utc(experiment.started_at),
        exposures.timestamp < naive_utc(end),
    )
