"""Visitors whose intent is known, so that what is learned of them can be held against the truth."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from optimizer.api._context import EXTENSION
from optimizer.app import close_app, create_app
from optimizer.catalog.keys import create_key
from optimizer.settings import Settings
from optimizer.storage.stores import Stores
from optimizer.storage.tables import StoredReport
from tests.conftest import NOON, SECRET, Clock, KeyedClient

Add = Callable[[list[dict[str, Any]]], None]
DAYS = 63


def visitors(count: int, *, seed: int = 1, informative: bool = True) -> list[dict[str, Any]]:
    """Make visitors over nine weeks; who compared products buys more often in the days after.

    Args:
        count: How many.
        seed: The same seed gives the same visitors.
        informative: Without it, buying has nothing to do with anything.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        first = NOON - dt.timedelta(days=float(rng.uniform(0, DAYS)))
        source = str(rng.choice(["google", "social", "direct"]))
        common = {"user_id": f"u{number}", "source": source, "device": str(rng.choice(["mobile", "desktop"]))}
        compared = rng.random() < 0.3
        names = ["page_view"] * int(1 + rng.poisson(2)) + ["compare"] * compared
        at = first
        for name in names:
            at += dt.timedelta(hours=float(rng.exponential(3)))
            rows.append({"name": name, "timestamp": at, **common})
        log_odds = -2.5 + 2.5 * compared + (0.8 if source == "google" else 0.0) if informative else -1.5
        if rng.random() < 1 / (1 + math.exp(-log_odds)):
            rows.append(
                {"name": "purchase", "timestamp": at + dt.timedelta(days=float(rng.uniform(0.5, 8))), "value": 50.0,
                 "currency": "EUR", **common}
            )  # fmt: skip
    return [row for row in rows if row["timestamp"] <= NOON]


@pytest.fixture
def add_visitors(add_events: Add) -> Callable[..., None]:
    def add(count: int, **options: Any) -> None:
        add_events(visitors(count, **options))

    return add


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[KeyedClient]:
    """A client of the whole application on either control plane."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    settings = Settings(data_dir=tmp_path, secret_key=SECRET, scheduler=False, database_url=url)
    app = create_app(settings, clock=clock)
    with app.extensions[EXTENSION].stores.control.session() as session:
        key = create_key(session, 1, "admin", now=clock.now)[1]
    yield KeyedClient(app.test_client(), key)
    close_app(app)


@pytest.fixture
def forget_field(stores: Stores) -> Callable[[str, int], None]:
    """Take a field out of a stored report, as if another version of the service had written it."""

    def forget(field: str, number: int) -> None:
        with stores.control.session() as session:
            row = session.exec(select(StoredReport).where(StoredReport.number == number)).one()
            row.document = {name: value for name, value in row.document.items() if name != field}
            session.add(row)

    return forget
