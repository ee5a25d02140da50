"""One experiment from its draft to its stop, with visitors whose numbers are known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from tests.conftest import KeyedClient

Add = Callable[[list[dict[str, Any]]], None]
Expose = Callable[..., None]
Remember = Callable[[], dict[str, Any]]
START = dt.datetime(2026, 10, 25, tzinfo=dt.UTC)
STOP = START + dt.timedelta(days=5)


def conduct(client: KeyedClient, key: str = "pdp", **changes: Any) -> None:
    design = {
        "key": key, "name": "Button",
        "variants": [{"key": "control"}, {"key": "treatment"}, {"key": "off", "weight": 0}],
        "primary_metric": "add_to_cart", "goal_metric": "bought", "planned_visitors": 10_000, **changes,
    }  # fmt: skip
    assert client.post("/v1/experiments", json=design).status_code == 201
    assert client.post(f"/v1/experiments/{key}/start", json={"at": START.isoformat()}).status_code == 200


def stop(client: KeyedClient, key: str = "pdp") -> None:
    assert client.post(f"/v1/experiments/{key}/stop", json={"at": STOP.isoformat()}).status_code == 200
