"""Turns the shop clickstream into events a tracker might have sent.

The clickstream says who did what when, on which device, from which channel. It says nothing of consent, contacts,
click ids, products, pages, browsers or values, so those are simulated, from a seed, and `SIMULATED` names them: a
report that uses them must say so. Addresses are of example.com, IP addresses of the documentation range.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SIMULATED = (
    "consent",
    "e-mail address",
    "click ids",
    "product",
    "value",
    "page",
    "browser",
    "IP address",
)
CONSENT_RATES = {"ad_user_data": 0.75, "ad_personalization": 0.6, "email": 0.5}
PRODUCT_EVENTS = frozenset({"product_view", "add_to_cart", "wishlist_add", "compare", "purchase"})
VALUED_EVENTS = frozenset({"add_to_cart", "purchase"})
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36"
PRODUCTS = 60


@dataclass(frozen=True, slots=True)
class Shopper:
    """What is simulated about one person, the same in all of their events."""

    consent: Mapping[str, bool]
    email: str
    click_ids: Mapping[str, str]
    ip: str


def shifted(clickstream: pa.Table, last_day: dt.date) -> pa.Table:
    """Move all times by whole days so that the last event falls on `last_day`."""
    newest: dt.datetime = pc.max(clickstream["timestamp"]).as_py()
    days = (last_day - newest.date()).days
    moved = pc.add(clickstream["timestamp"], pa.scalar(dt.timedelta(days=days), pa.duration("s")))
    return clickstream.set_column(clickstream.column_names.index("timestamp"), "timestamp", moved)


def tracked_events(clickstream: pa.Table, seed: int) -> Iterator[dict[str, Any]]:
    """Yield one event per row, as `POST /v1/events` takes it.

    Args:
        clickstream: Rows of user_id, session_id, event, timestamp, platform, acquisition_channel.
        seed: The same seed gives the same people and products.
    """
    people: dict[str, Shopper] = {}
    for place, row in enumerate(clickstream.to_pylist()):
        user = row["user_id"]
        if user not in people:
            people[user] = _shopper(user, row["acquisition_channel"], random.Random(f"{seed}-{user}"))  # noqa: S311 - a simulation
        yield _event(row, place, people[user], random.Random(f"{seed}-{place}"))  # noqa: S311 - a simulation


def _shopper(user: str, channel: str, rng: random.Random) -> Shopper:
    consent = {signal: rng.random() < rate for signal, rate in CONSENT_RATES.items()}
    consent["ad_personalization"] = consent["ad_personalization"] and consent["ad_user_data"]
    click = f"{rng.getrandbits(96):024x}"
    clicks = {"paid_search": {"gclid": f"Cj0{click}"}, "social": {"fbclid": f"IwAR{click}"}}
    return Shopper(
        consent={"analytics": True, **consent},
        email=f"{user.replace('_', '.')}@example.com",
        click_ids=clicks.get(channel, {}),
        ip=f"203.0.113.{rng.randrange(1, 255)}",
    )


def _event(row: Mapping[str, Any], place: int, shopper: Shopper, rng: random.Random) -> dict[str, Any]:
    name = row["event"]
    event: dict[str, Any] = {
        "event_id": f"clickstream-{place}",
        "name": name,
        "timestamp": row["timestamp"].replace(tzinfo=dt.UTC).isoformat(),
        "user_id": row["user_id"],
        "session_id": row["session_id"],
        "context": {
            "source": row["acquisition_channel"],
            "device": row["platform"],
            "page": f"https://shop.example.com/{name}",
            "ip": shopper.ip,
            "user_agent": USER_AGENT,
        },
        "consent": shopper.consent,
        "user": {"email": shopper.email},
    }
    if shopper.click_ids:
        event["click_ids"] = shopper.click_ids
    if name in PRODUCT_EVENTS:
        event["properties"] = {"item_id": f"sku-{rng.randrange(PRODUCTS):03d}"}
    if name in VALUED_EVENTS:
        event["value"], event["currency"] = round(rng.lognormvariate(3.6, 0.6), 2), "EUR"
    return event
