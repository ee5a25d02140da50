"""A shop with planted truth, any size, from a seed: to see whether scoring finds it, for load, and for demos.

The truth is returned beside the data. Everything misleading that real data has is in it on purpose: people who leave
early and people who buy at once, a weekly rhythm, sources and devices that buy differently, robots, and visitors who
consent to nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from optimizer.sandbox.shop_people import DEVICES, SOURCES, People, draw_people
from optimizer.sandbox.shop_truth import GOAL, TRUTH, Planted
from optimizer.sandbox.shop_visits import Indices, Log, walk

FIRST_MONDAY = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
MEAN_BASKET, BASKET_SPREAD = 3.9, 0.5  # of the logarithm: about 56 EUR


@dataclass(frozen=True, slots=True)
class ShopDesign:
    """How large a shop, and how well it sells.

    Attributes:
        visitors: Persons, robots aside; at least 1.
        days: Over how many days they first arrive; at least 1.
        base: Chance of buying at one visit of a visitor whom nothing moves, between 0 and 1.
        robots: Robots per visitor.
        first_monday: Midnight at which the shop opens.
    """

    visitors: int = 10_000
    days: int = 42
    base: float = 0.04
    robots: float = 0.01
    first_monday: dt.datetime = FIRST_MONDAY

    def __post_init__(self) -> None:
        """Refuse a shop that cannot be."""
        if self.visitors < 1 or self.days < 1:
            raise ValueError("visitors and days must be at least 1")
        if not 0 < self.base < 1 or self.robots < 0:
            raise ValueError("base must lie between 0 and 1, and robots must not be negative")


@dataclass(frozen=True, slots=True)
class Shop:
    """What happened, and what was planted.

    Attributes:
        events: In order of time: user_id, name, timestamp (naive UTC), value, currency, source, device, user_agent,
            robot, and consent_analytics, consent_ad_user_data, consent_ad_personalization, consent_email.
        truth: Planted events by name; the goal is not among them.
        goal: Name of the goal.
        buyers: How many persons bought.
    """

    events: pa.Table
    truth: Mapping[str, Planted]
    goal: str
    buyers: int


def simulate_shop(design: ShopDesign, seed: int) -> Shop:
    """Open a shop and let everybody come.

    Args:
        design: How large.
        seed: The same seed gives the same events.
    """
    rng = np.random.default_rng(seed)
    people = draw_people(rng, design.visitors, design.days)
    names = [event.name for event in TRUTH] + [GOAL]
    log = Log({name: place for place, name in enumerate(names)})
    bought = walk(rng, people, design.base, log)
    _robots(rng, design, log)
    return Shop(
        events=_table(rng, design, people, log, names),
        truth={event.name: event for event in TRUTH},
        goal=GOAL,
        buyers=int(bought.sum()),
    )


def _robots(rng: np.random.Generator, design: ShopDesign, log: Log) -> None:
    count = int(design.visitors * design.robots)
    robots = np.repeat(np.arange(design.visitors, design.visitors + count), 40)
    log.add("page_view", robots, np.floor(rng.random(len(robots)) * design.days * 86_400))


def _table(rng: np.random.Generator, design: ShopDesign, people: People, log: Log, names: list[str]) -> pa.Table:
    seconds = np.concatenate(log.seconds)
    order = np.argsort(seconds, kind="stable")
    visitor, which = np.concatenate(log.visitors)[order], np.concatenate(log.which)[order]
    robot = visitor >= len(people)
    person = np.where(robot, 0, visitor)
    opened = np.datetime64(design.first_monday.replace(tzinfo=None), "us")
    goal = which == names.index(GOAL)
    value = np.round(rng.lognormal(MEAN_BASKET, BASKET_SPREAD, len(which)), 2)
    columns: dict[str, pa.Array] = {
        "user_id": _user_ids(visitor),
        "name": _words(which, names),
        "timestamp": pa.array(opened + (seconds[order] * 1e6).astype("timedelta64[us]"), pa.timestamp("us")),
        "value": pa.array(value, pa.float64(), mask=~goal),
        "currency": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(goal), np.int8), mask=~goal), ["EUR"]),
        "source": _words(people.source[person], SOURCES),
        "device": _words(people.device[person], DEVICES),
        "user_agent": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(goal), np.int8), mask=~robot), [ROBOT]),
        "robot": pa.array(robot),
        **{f"consent_{name}": pa.array(granted[person] | robot) for name, granted in people.consent.items()},
    }
    return pa.table(columns)


def _words(which: Indices, words: tuple[str, ...] | list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(which.astype(np.int8)), list(words))


def _user_ids(visitor: Indices) -> pa.DictionaryArray:
    ids = pa.array([f"v{number}" for number in range(int(visitor.max(initial=0)) + 1)])
    return pa.DictionaryArray.from_arrays(pa.array(visitor.astype(np.int32)), ids)
