"""Who comes to a simulated shop, from where, how often and when; all drawn at once, one array per trait."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.sandbox.shop_truth import INTENTS

SOURCES = ("google", "social", "newsletter", "direct")
DEVICES = ("mobile", "desktop")
SOURCE_SHARES = (0.4, 0.3, 0.1, 0.2)
SOURCE_LIFTS = np.array([1.0, 0.2, 1.6, 1.2])
MOBILE_SHARES = np.array([0.5, 0.55, 0.45, 0.5])
DEVICE_LIFTS = np.array([0.25, 1.0])
EARLY_LEAVERS = 0.5  # come once and never again
MEAN_FURTHER_VISITS = 3.0
MAXIMUM_VISITS = 12
MEAN_GAP_DAYS = 3.0
DAY = 86_400.0
# Monday first: more people come and more of those who come buy at the end of the week.
WEEKDAY_TRAFFIC = np.array([0.9, 0.9, 0.95, 1.0, 1.05, 1.15, 1.05])
WEEKDAY_LIFTS = np.array([0.9, 0.9, 0.95, 1.0, 1.1, 1.15, 1.0])
HOUR_TRAFFIC = np.array([2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 6, 6, 6, 6, 7, 8, 9, 10, 9, 6, 4], float)
CONSENT_RATES = {"analytics": 0.92, "ad_user_data": 0.7, "ad_personalization": 0.55, "email": 0.4}


@dataclass(frozen=True, slots=True)
class People:
    """One entry per visitor in each array.

    Attributes:
        arrival: Seconds from the shop's first midnight (a Monday) to the first visit.
        visits: How many visits they make, from 1 to 12.
        source: Index into `SOURCES`.
        device: Index into `DEVICES`.
        intents: Per intent, whether they have it; shape (intents, visitors).
        propensity: By what all of the above multiplies the chance of buying at a visit, before any event.
        consent: Per signal, whether it is granted.
    """

    arrival: NDArray[np.float64]
    visits: NDArray[np.int64]
    source: NDArray[np.int64]
    device: NDArray[np.int64]
    intents: NDArray[np.bool_]
    propensity: NDArray[np.float64]
    consent: dict[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        """Count them."""
        return len(self.arrival)


def draw_people(rng: np.random.Generator, count: int, days: int) -> People:
    """Draw visitors.

    Args:
        rng: Source of chance.
        count: How many.
        days: Over how many days they arrive.
    """
    source = rng.choice(len(SOURCES), count, p=SOURCE_SHARES)
    device = (rng.random(count) >= MOBILE_SHARES[source]).astype(np.int64)
    stays = rng.random(count) >= EARLY_LEAVERS
    # Some come back far more often than others, for reasons of their own.
    further = rng.poisson(MEAN_FURTHER_VISITS * rng.gamma(1.5, 1 / 1.5, count))
    intents = np.array([rng.random(count) < intent.share for intent in INTENTS])
    wanting = np.prod(np.where(intents, np.array([[intent.lift] for intent in INTENTS]), 1.0), axis=0)
    consent = {name: rng.random(count) < rate for name, rate in CONSENT_RATES.items()}
    return People(
        arrival=_arrivals(rng, count, days),
        visits=np.minimum(1 + stays * further, MAXIMUM_VISITS),
        source=source,
        device=device,
        intents=intents,
        propensity=SOURCE_LIFTS[source] * DEVICE_LIFTS[device] * wanting,
        consent=consent,
    )


def weekday(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the day of the week, Monday being 0."""
    return (seconds // DAY).astype(np.int64) % 7


def _arrivals(rng: np.random.Generator, count: int, days: int) -> NDArray[np.float64]:
    traffic = WEEKDAY_TRAFFIC[np.arange(days) % 7] * np.linspace(1.0, 1.2, days)  # growing a little
    day = rng.choice(days, count, p=traffic / traffic.sum())
    hour = rng.choice(24, count, p=HOUR_TRAFFIC / HOUR_TRAFFIC.sum())
    seconds: NDArray[np.float64] = day * DAY + hour * 3600.0 + np.floor(rng.random(count) * 3600)
    return seconds
