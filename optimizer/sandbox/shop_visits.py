"""What visitors of a simulated shop do, visit by visit: all visitors' n-th visits are one step.

A visitor's chance of buying at a visit depends on whom the visitor is and on what causes they met at *earlier*
visits, so the planted lift is the ratio of chances that a fair comparison of equals has to find.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optimizer.sandbox.shop_people import (
    DAY,
    DEVICES,
    MAXIMUM_VISITS,
    MEAN_GAP_DAYS,
    SOURCES,
    WEEKDAY_LIFTS,
    People,
    weekday,
)
from optimizer.sandbox.shop_truth import GOAL, INTENTS, PASSING_TRADE, SENT_AT_ONCE, TRUTH, Planted

MEAN_FURTHER_PAGES = 2.0
SECONDS_PER_PAGE = 90.0
LONGEST_WAIT = 60.0
PURCHASE_AT = 700.0
CEILING = 0.9
CAUSES = tuple(event for event in TRUTH if event.kind in {"cause", "simpson"})
Indices = NDArray[np.int64]


@dataclass(slots=True)
class Log:
    """Occurrences so far, as arrays to be joined: visitor, name (index into the shop's names) and seconds."""

    names: dict[str, int]
    visitors: list[Indices] = field(default_factory=list)
    which: list[Indices] = field(default_factory=list)
    seconds: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, name: str, visitors: Indices, seconds: NDArray[np.float64]) -> None:
        """Note that these visitors did it at these times."""
        self.visitors.append(visitors)
        self.which.append(np.full(len(visitors), self.names[name], np.int16))
        self.seconds.append(seconds)


def walk(rng: np.random.Generator, people: People, base: float, log: Log) -> NDArray[np.bool_]:
    """Let everybody make their visits.

    Args:
        rng: Source of chance.
        people: The visitors.
        base: Chance of buying at a visit of one whom nothing moves, on an average day.
        log: Takes what they do.

    Returns:
        Who bought.
    """
    bought = np.zeros(len(people), bool)
    causes = np.ones(len(people))
    met = {event.name: np.zeros(len(people), bool) for event in CAUSES}
    start = people.arrival.copy()
    for visit in range(MAXIMUM_VISITS):
        here = np.flatnonzero(people.visits > visit)
        if visit:
            gaps = rng.exponential(MEAN_GAP_DAYS * DAY, len(here))
            start[here] += np.floor(np.maximum(gaps, 6 * 3600.0))
        chance = base * people.propensity[here] * causes[here] * WEEKDAY_LIFTS[weekday(start[here])]
        buys = (rng.random(len(here)) < np.minimum(chance, CEILING)) & ~bought[here]
        _pages(rng, here, start, log)
        _aside(rng, people, here, start, log, met)
        _towards_purchase(rng, here, buys, start, log)
        _afterwards(rng, here[bought[here]], start, log)
        bought[here[buys]] = True
        causes = _causes(met, len(people))
    return bought


def _pages(rng: np.random.Generator, here: Indices, start: NDArray[np.float64], log: Log) -> None:
    pages = 1 + rng.poisson(MEAN_FURTHER_PAGES, len(here))
    visitors = np.repeat(here, pages)
    place = np.arange(len(visitors)) - np.repeat(np.cumsum(pages) - pages, pages)
    seconds = start[visitors] + place * SECONDS_PER_PAGE
    log.add("page_view", visitors, seconds)
    scroll = _named("deep_scroll")
    scrolls = rng.random(len(visitors)) < scroll.chance
    log.add(scroll.name, visitors[scrolls], seconds[scrolls] + 20.0)


def _aside(  # noqa: PLR0917 - one visit's worth of everything
    rng: np.random.Generator,
    people: People,
    here: Indices,
    start: NDArray[np.float64],
    log: Log,
    met: dict[str, NDArray[np.bool_]],
) -> None:
    moved = {
        intent: rng.random(len(here))
        < np.where(people.intents[intent][here], _chance_of(intent), INTENTS[intent].unmoved)
        for intent in range(len(INTENTS))
    }
    for event in TRUTH:
        if event.kind in {"everybody", "funnel_step"} or event.name in {"deep_scroll", "order_tracking"}:
            continue
        if event.kind == "duplicate" and event.intent is not None:
            does = moved[event.intent] & (rng.random(len(here)) < SENT_AT_ONCE)
        elif event.kind == "correlate" and event.intent is not None:
            does = moved[event.intent]
        else:
            does = rng.random(len(here)) < _chances(event, people, here)
        visitors = here[does]
        if event.name in met:
            met[event.name][visitors] = True
        _log(rng, event, visitors, start, log)


def _chances(event: Planted, people: People, here: Indices) -> NDArray[np.float64]:
    if event.name not in PASSING_TRADE:
        return np.full(len(here), event.chance)
    trait, value, elsewhere = PASSING_TRADE[event.name]
    is_there = (
        people.source[here] == SOURCES.index(value)
        if trait == "source"
        else people.device[here] == DEVICES.index(value)
    )
    return np.where(is_there, event.chance, event.chance * elsewhere)


def _towards_purchase(
    rng: np.random.Generator, here: Indices, buys: NDArray[np.bool_], start: NDArray[np.float64], log: Log
) -> None:
    reached = buys
    for name in ("begin_checkout", "add_to_cart", "view_item"):  # whoever gets to a step passed those before it
        event = _named(name)
        reached = reached | (rng.random(len(here)) < event.chance)
        log.add(name, here[reached], start[here[reached]] + event.at)
    buyers = here[buys]
    log.add(GOAL, buyers, start[buyers] + PURCHASE_AT)


def _afterwards(rng: np.random.Generator, owners: Indices, start: NDArray[np.float64], log: Log) -> None:
    event = _named("order_tracking")
    _log(rng, event, owners[rng.random(len(owners)) < event.chance], start, log)


def _log(rng: np.random.Generator, event: Planted, visitors: Indices, start: NDArray[np.float64], log: Log) -> None:
    log.add(event.name, visitors, start[visitors] + event.at + np.floor(rng.random(len(visitors)) * LONGEST_WAIT))


def _causes(met: dict[str, NDArray[np.bool_]], count: int) -> NDArray[np.float64]:
    factors = np.ones(count)
    for event in CAUSES:
        factors *= np.where(met[event.name], event.lift or 1.0, 1.0)
    return factors


def _chance_of(intent: int) -> float:
    return next(event.chance for event in TRUTH if event.intent == intent)


def _named(name: str) -> Planted:
    return next(event for event in TRUTH if event.name == name)
