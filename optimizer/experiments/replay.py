"""The project's own past as an experiment without any difference, split at random many times over, in one scan.

Units enter with their first event of the period, as if it had been their exposure. What a look at each midnight would
have known is built up from changes: a unit's new sums minus those it had at the look before. Changes are added up in
the engine, per look and per bucket of a hash of the unit; from the buckets' sums every split's follow (`core/stats/
splits.py`), so that neither events nor units cross into Python, however many splits there are.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import ibis
import ibis.expr.types as ir
import numpy as np

from optimizer.core.stats.cross import LARGEST, CrossMoments
from optimizer.core.stats.effects import Floats
from optimizer.core.stats.splits import second_arms
from optimizer.experiments.cohort import UNIT_COLUMNS
from optimizer.experiments.columns import KNOWN, Group
from optimizer.experiments.counting import (
    at,
    before_entry,
    counted,
    literal,
    matching,
    pair,
    squares,
    told_apart,
    valued,
)
from optimizer.storage.events import EventStore

ARMS = ("first", "second")
BEFORE = "before "
EVENTS_A_PART = 2_000_000
DAY_SECONDS = 86_400
DIGITS, BITS_A_DIGIT = "0123456789abcdef", 4


@dataclass(frozen=True, slots=True)
class Period:
    """What of the past is replayed, and how it is split.

    Attributes:
        start: A UTC midnight.
        days: How many days from then on; a look is taken at the end of each.
        unit: Whose numbers are compared: a key of `UNIT_COLUMNS`.
        split_by: What the coin is tossed for: a key of `UNIT_COLUMNS`, the same as `unit` where all is well.
        exposed_by: A unit enters with its first event of this name; None: with its first of any name.
        covariate_days: Days before entry whose numbers adjust the figures.
        seed: Of the splits.
        bits: 2^bits − 1 splits are drawn.
    """

    start: dt.datetime
    days: int
    unit: str
    split_by: str
    exposed_by: str | None
    covariate_days: int
    seed: str
    bits: int

    @property
    def end(self) -> dt.datetime:
        """When the last look is taken."""
        return self.start + dt.timedelta(days=self.days)

    @property
    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """First and last moment of the events that may count."""
        return self.start - dt.timedelta(days=self.covariate_days), self.end

    @property
    def splits(self) -> int:
        """How many splits are drawn."""
        return (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Replayed:
    """What every look at every split would have known of one group of metrics.

    Attributes:
        places: Where sums are in the last axis: of a column by its name, of a product by the names of both.
        whole: Sums over both arms, shape (looks, sums); units come first.
        second: Sums over the second arm, shape (looks, splits, sums).
    """

    places: Mapping[str | tuple[str, str], int]
    whole: Floats
    second: Floats

    def units(self, look: int) -> int:
        """Return the units of both arms at a look (counted from 0)."""
        return round(float(self.whole[look, 0]))

    def changed(self, look: int) -> bool:
        """Tell whether a look knows anything that the one before did not."""
        return look == 0 or bool((self.whole[look] != self.whole[look - 1]).any())

    def rows(self, look: int, columns: Sequence[str]) -> Iterator[CrossMoments]:
        """Return some columns' sums at a look, split by split."""
        own = [self.places[column] for column in columns]
        crossed = [[self.places.get((a, b), self.places.get((b, a), -1)) for b in columns] for a in columns]
        arms = np.stack([self.whole[look] - self.second[look], self.second[look]], axis=1)
        n, totals = arms[:, :, 0], arms[:, :, own]
        products = np.where(np.array(crossed) < 0, np.nan, arms[:, :, crossed])
        # Rounding leaves traces of the other arm's sums; none may contradict this arm's own.
        totals = np.where(n[:, :, None] > 0, totals, 0.0)
        products = np.where(n[:, :, None, None] > 0, products, 0.0)
        least = totals**2 / np.maximum(n, 1)[:, :, None]
        same = np.arange(len(columns))
        products[:, :, same, same] = np.maximum(products[:, :, same, same], least)
        for one in zip(n, totals, products, strict=True):
            yield CrossMoments(ARMS, tuple(columns), *one)


def replay(store: EventStore, project_id: int, period: Period, group: Group) -> Replayed:
    """Sum one group's numbers over the units of every split, as of every look.

    A metric with a window takes a unit in once its window has elapsed; without one, what a unit does later changes
    its number at later looks. A cap at a percentile is that of all units at the end.
    """
    group = replace(group, place=0)
    people = _people(store, project_id, period, group)
    events = matching(store, project_id, period.unit, [group], period.span)
    group = _limited(group, _seen(period, group, people, events))
    sums = dict(_changes(group))
    buckets = np.zeros((period.days, 2**period.bits, len(sums)))
    for part in _parts(group, people, events):
        changes = _by_look(_seen(period, group, part, events), group)
        found = changes.group_by("look", "bucket").agg(**sums).to_pyarrow()
        numbers = np.column_stack([found[name].to_numpy() for name in sums]).astype(float)
        numbers[~(np.abs(numbers) <= LARGEST)] = np.nan  # too large to compute with: unknown in every split
        np.add.at(buckets, (found["look"].to_numpy() - 1, found["bucket"].to_numpy()), numbers)
    grown = buckets.cumsum(0)
    return Replayed(_places(group, list(sums)), grown.sum(1), np.stack([second_arms(look) for look in grown]))


def _parts(group: Group, people: ir.Table, events: ir.Table) -> Iterator[ir.Table]:
    """Yield the people in as many parts as keep the rows of one query in the memory of a small engine."""
    parts = 1
    if group.window_hours is None:  # every look that changes a unit is a row
        parts += int(events.count().to_pyarrow().as_py()) // EVENTS_A_PART
    for part in range(parts):
        yield people if parts == 1 else people.filter(people.bucket % parts == part)


def _people(store: EventStore, project_id: int, period: Period, group: Group) -> ir.Table:
    """Return who enters: `unit`, `bucket`, `first`, `look` of entry, and the ends of the spans that count."""
    events = store.events(project_id)
    events = events.filter(events.timestamp >= literal(period.start), events.timestamp < literal(period.end))
    if period.exposed_by is not None:
        events = events.filter(events.name == period.exposed_by)
    events = events.select(
        unit=events[UNIT_COLUMNS[period.unit]], tossed_for=events[UNIT_COLUMNS[period.split_by]], at=events.timestamp
    )
    events = events.filter(events.unit.notnull(), events.unit != "")
    people = events.group_by("unit").agg(first=events["at"].min(), tossed_for=events.tossed_for.max())
    tossed_for = ibis.coalesce(people.tossed_for, people.unit)
    window = None if group.window_hours is None else round(group.window_hours * 3600)
    since = people["first"].epoch_seconds() - int(period.start.timestamp())
    look = since // DAY_SECONDS + 1 if window is None else (since + window + DAY_SECONDS - 1) // DAY_SECONDS
    end = literal(period.end) if window is None else people["first"] + ibis.interval(seconds=window)
    people = people.select(
        "unit",
        "first",
        bucket=_bucket(store.digest(ibis.literal(f"{period.seed} ") + tossed_for), period.bits),
        look=look.cast("int64"),
        known_from=people["first"] - ibis.interval(days=period.covariate_days),
        end0=end,
    )
    return people.filter(people.look <= period.days)


def _bucket(digest: ir.StringValue, bits: int) -> ir.IntegerValue:
    count = -(-bits // BITS_A_DIGIT)
    whole: ir.IntegerValue = ibis.literal(0)
    for place in range(count):
        whole = whole * 16 + ibis.literal(DIGITS).find(digest.substr(place, 1))
    bucket: ir.IntegerValue = (whole // 2 ** (count * BITS_A_DIGIT - bits)).cast("int64")
    return bucket


def _seen(period: Period, group: Group, people: ir.Table, events: ir.Table) -> ir.Table:
    """Return every event that counts with its unit and the look that knows it first, and one blank row a unit."""
    own = [people.unit == events.who, events["at"] >= people.known_from, events["at"] <= people.end0]
    seen = told_apart(people.inner_join(events, own), [group])
    if group.window_hours is None:
        since = seen["at"].epoch_seconds() - int(period.start.timestamp())
        later = ibis.least(since // DAY_SECONDS + 1, period.days).cast("int64")
        seen = seen.mutate(look=seen.early.ifelse(seen.look, later))
    flags = [name for name in events.columns if name not in {"value", "who", "at", "code"}]
    seen = seen.select("unit", "bucket", "look", "value", "key0", "early", *flags)
    never = ibis.literal(value=False)
    blank = people.select(
        "unit",
        "bucket",
        "look",
        value=ibis.null("float64"),
        key0=ibis.literal(-1, "int16"),
        early=never,
        **dict.fromkeys(flags, never),
    )
    kinds = {name: kind.copy(nullable=True) for name, kind in seen.schema().items()}
    return seen.cast(kinds).union(blank.cast(kinds))


def _limited(group: Group, seen: ir.Table) -> Group:
    """Put a number in the place of every cap at a percentile."""
    if not any(column.cap and "percentile" in column.cap for column in group.columns):
        return group
    units = seen.group_by("unit").agg(**counted(seen, [group]))
    units = units.select(**valued(units, [group]))
    count = units.count().to_pyarrow().as_py()
    columns = []
    for column in group.columns:
        if column.cap and "percentile" in column.cap:
            name = at(group, column.name)
            place = math.ceil(count * column.cap["percentile"] * (1 - 1e-12)) - 1
            found = units.order_by(name).select(name).limit(1, offset=max(0, place)).to_pyarrow()[name].to_pylist()
            columns.append(replace(column, cap={"value": found[0] if found else 0.0}))
        else:
            columns.append(column)
    return replace(group, columns=tuple(columns))


def _by_look(seen: ir.Table, group: Group) -> ir.Table:
    """Return each unit's columns as of every look that changed them, and as of the look before as `before …`."""
    numbers = counted(seen, [group])
    units = seen.group_by("unit", "bucket", "look").agg(**numbers)
    if group.window_hours is not None:  # a unit enters with everything it will ever have
        values = _capped(group, valued(units, [group]))
        blank = {f"{BEFORE}{name}": ibis.literal(0.0) for name in values}
        return units.select("look", "bucket", new=ibis.literal(1), **values, **blank)
    own = {"group_by": "unit", "order_by": "look"}
    so_far, until_then = ibis.window(preceding=(None, 0), **own), ibis.window(preceding=(None, 1), **own)
    early = before_entry([group])
    later = [name for name in numbers if name not in early]
    grown = {name: units[name].sum().over(so_far) for name in numbers}
    grown |= {f"{BEFORE}{name}": units[name].sum().over(until_then).fill_null(0) for name in later}
    units = units.select("look", "bucket", new=ibis.row_number().over(ibis.window(**own)) == 0, **grown)
    units = units.mutate(**{f"{BEFORE}{name}": units.new.ifelse(0, units[name]) for name in numbers if name in early})
    then = _capped(group, valued(units, [group], BEFORE))
    values = _capped(group, valued(units, [group])) | {f"{BEFORE}{name}": value for name, value in then.items()}
    return units.select("look", "bucket", new=units.new.cast("int64"), **values)


def _capped(group: Group, values: dict[str, ir.Value]) -> dict[str, ir.Value]:
    caps = {at(group, column.name): column.cap["value"] for column in group.columns if column.cap}
    return {name: value.clip(upper=caps[name]) if name in caps else value for name, value in values.items()}


def _changes(group: Group) -> Iterator[tuple[str, ir.Deferred]]:
    """Yield each sum's change, in the order that `_places` reads."""
    yield "new", ibis._.new.sum()
    for name in [column.name for column in group.columns] + ([KNOWN] if group.with_history else []):
        value = at(group, name)
        yield name, (ibis._[value] - ibis._[BEFORE + value]).sum()
    for name, of in group.converters.items():
        value = at(group, of)
        yield name, ((ibis._[value] > 0).cast("int64") - (ibis._[BEFORE + value] > 0).cast("int64")).sum()
    for one, other in (*squares(group), *group.pairs):
        a, b = at(group, one), at(group, other)
        change = ibis._[a] * ibis._[b] - ibis._[BEFORE + a] * ibis._[BEFORE + b]
        yield pair(group, one, other), change.sum()


def _places(group: Group, sums: list[str]) -> dict[str | tuple[str, str], int]:
    found: dict[str | tuple[str, str], int] = {name: sums.index(name) for name in group.names}
    # The square of 0 or 1 is itself.
    found |= {(name, name): sums.index(name) for name in group.names}
    found |= {(one, other): sums.index(pair(group, one, other)) for one, other in (*squares(group), *group.pairs)}
    return found
