"""Who is in an experiment, against a loop over every exposure, on every engine."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pytest

from optimizer.experiments.cohort import count_clean, count_exposed
from optimizer.storage.events import EXPOSURE_SCHEMA, EventStore, naive_utc
from optimizer.storage.open import open_event_store
from optimizer.storage.tables import Experiment
from tests.fixtures.clickhouse import make_database

pytestmark = pytest.mark.xdist_group("clickhouse")
START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
STOP = START + dt.timedelta(days=12)
EXPERIMENT = Experiment(
    project_id=1, key="x", primary_metric="bought", unit="user", started_at=START, stopped_at=STOP,
    variants=[{"key": key, "weight": 1} for key in ("a", "b", "nobody")],
)  # fmt: skip


class Shown(NamedTuple):
    unit: str
    user: str
    variant: str
    at: dt.datetime


def seen() -> list[Shown]:
    """Some change their variant, some were anonymous, some carry no id, some saw what the design does not know."""
    drawn = random.Random(11)  # noqa: S311 - sample data
    found = []
    for number in range(300):
        unit = "" if number % 37 == 0 else f"u:{number}"
        variants = drawn.choice(["a", "a", "b", "bb", "ab", "c", "bc"])
        for variant in variants:
            at = START + dt.timedelta(seconds=drawn.randrange(-86_400, 14 * 86_400))
            found.append(Shown(unit, drawn.choice(["", unit[2:]]), variant, at))
    return found


EXPOSURES = seen()


@pytest.fixture(scope="module", params=["duckdb", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "duckdb":
        made = open_event_store("duckdb:///:memory:")
    else:
        made = open_event_store(make_database(request.getfixturevalue("clickhouse_server"), "cohort"))
    rows = [
        {"project_id": 1, "sequence": place, "exposure_id": f"x{place}", "id_hash": place, "content_hash": 0,
         "experiment": "x", "variant": one.variant, "unit_id": one.unit, "user_id": one.user,
         "timestamp": naive_utc(one.at), "received_at": naive_utc(one.at)}
        for place, one in enumerate(EXPOSURES, 1)
    ]  # fmt: skip
    made.append({"exposures": pa.Table.from_pylist(rows, schema=EXPOSURE_SCHEMA)})
    yield made
    made.close()


def by_unit(until: dt.datetime) -> dict[str, list[Shown]]:
    found: dict[str, list[Shown]] = {}
    for one in EXPOSURES:
        if START <= one.at < min(until, STOP):
            found.setdefault(one.unit, []).append(one)
    return found


def clean(until: dt.datetime) -> dict[str, list[Shown]]:
    known = {unit: shown for unit, shown in by_unit(until).items() if unit and len({s.variant for s in shown}) == 1}
    return {unit: shown for unit, shown in known.items() if shown[0].variant in "ab"}


@pytest.mark.parametrize("until", [0, 3, 6.5, 20])
@pytest.mark.parametrize("later", [None, 0, 2, 9])
def test_a_moment_and_a_later_one_are_counted_together_as_apart(
    store: EventStore, until: float, later: float | None
) -> None:
    moment = START + dt.timedelta(days=until)
    now = None if later is None else moment + dt.timedelta(days=later)
    found = count_exposed(store, 1, EXPERIMENT, until=moment, now=now)

    everybody, counted = by_unit(moment), clean(moment)
    days = {(min(one.at for one in shown).date(), shown[0].variant) for shown in counted.values()}
    assert {(day, key) for day, arms in found.days.items() for key, one in arms.items() if one.units} == days
    for day, arms in found.days.items():
        for key, members in arms.items():
            own = [s for s in counted.values() if s[0].variant == key and min(one.at for one in s).date() == day]
            merged = [s for s in own if any(not one.user for one in s)]
            seconds = sum(int(min(one.at for one in s).timestamp()) for s in own)
            assert (members.units, members.seconds, members.merged) == (len(own), seconds, len(merged))
    named = {unit: {one.variant for one in shown} for unit, shown in everybody.items() if unit}
    assert found.mixed == sum(len(variants) > 1 for variants in named.values())
    assert found.unknown == sum(variants == {"c"} for variants in named.values())
    assert found.unidentified == len(everybody.get("", []))
    by_now = Counter(shown[0].variant for shown in clean(now or moment).values())
    assert found.by_now == {"a": by_now["a"], "b": by_now["b"], "nobody": 0}
    assert found.by_now == count_clean(store, 1, EXPERIMENT, until=now or moment)
