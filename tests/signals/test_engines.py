"""Both engines give the same ranking; only the sample behind the out-of-fold models is each engine's own."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from optimizer.cli._shops import PROJECT, event_rows
from optimizer.sandbox.shop import ShopDesign, simulate_shop
from optimizer.signals.answers import SignalsRequest
from optimizer.signals.service import rank_events
from optimizer.storage.open import open_event_store
from tests.fixtures.clickhouse import make_database

OWN_SAMPLE = {"incremental", "incremental_auc", "recommendation", "reasons"}


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items() if name not in OWN_SAMPLE}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


@pytest.mark.xdist_group("clickhouse")
def test_both_engines_give_the_same_figures(clickhouse_server: str) -> None:
    design = ShopDesign(visitors=700)
    rows = event_rows(simulate_shop(design, 2).events)
    now = design.first_monday + dt.timedelta(days=72)
    answers: list[list[dict[str, Any]]] = []
    for url in ("duckdb:///:memory:", make_database(clickhouse_server, "ranking")):
        store = open_event_store(url)
        store.append({"events": rows})
        own = []
        for more in ({}, {"landmark_hours": 200.0}, {"by": "source"}):
            request = SignalsRequest.model_validate({"goal": "purchase", **more})
            answer = rank_events(store, PROJECT, request, {}, now=now).model_dump()
            answer["signals"].sort(key=lambda signal: (signal["event"], signal["group"] or ""))
            own.append(rounded(answer))
        answers.append(own)
        store.close()
    assert answers[0] == answers[1]
