"""Baselines measured from events must be what numpy says of the same units."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from optimizer.experiments.metrics import CapRequest, MetricRequest, put_metric
from optimizer.experiments.planning.measured import Measured, measure, resolve_names
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition
from tests.conftest import NOON

Add = Callable[[list[dict[str, Any]]], None]
UNITS = 200


@pytest.fixture
def orders(stores: Stores, project_id: int, add_events: Add) -> np.ndarray:
    """Give 200 units who came two days ago; some ordered within the hour, some again a day and a half later."""
    rng = np.random.default_rng(3)
    values = np.where(rng.random(UNITS) < 0.4, rng.lognormal(3, 1, UNITS).round(2), 0.0)
    came = NOON - dt.timedelta(days=2)
    rows: list[dict[str, Any]] = []
    for unit, value in enumerate(values):
        who = {"user_id": f"u{unit}"}
        rows.append({"name": "visit_page", "timestamp": came, **who})
        if value:
            rows.append({"name": "purchase", "timestamp": came + dt.timedelta(hours=1), "value": float(value), **who})
        if unit % 7 == 0:
            late = came + dt.timedelta(hours=36)
            rows.append({"name": "purchase", "timestamp": late, "value": 5.0, "properties": {"gift": True}, **who})
    add_events(rows)
    with stores.control.session() as session:
        for name in ("visit_page", "purchase"):
            session.add(EventDefinition(project_id=project_id, name=name, kind="macro"))
    return values


def measured(stores: Stores, project_id: int, **metric: Any) -> Measured:
    with stores.control.session() as session:
        put_metric(session, project_id, "own-metric", MetricRequest(**metric), now=NOON)
        known = resolve_names(session, project_id, ["own-metric", "Purchase", "never_seen"])
        for found in known.values():
            if found.metric.id is not None:
                session.expunge(found.metric)
    return measure(stores.events, project_id, known, now=NOON)


def test_sums_have_the_mean_and_variance_of_all_units(stores: Stores, project_id: int, orders: np.ndarray) -> None:
    found = measured(stores, project_id, type="sum", event="purchase", window_hours=24)
    level = found.levels["own-metric"]
    assert level.mean == pytest.approx(orders.mean())
    assert not level.rate
    assert level.variance == pytest.approx(orders.var(ddof=1), rel=1e-9)
    either = (orders > 0) | (np.arange(UNITS) % 7 == 0)
    assert found.levels["purchase"].mean == pytest.approx(either.mean())
    assert "never_seen" not in found.levels
    assert found.definitions["own-metric"].window_hours == 24
    assert found.definitions["own-metric"].mean
    assert found.daily_visitors == UNITS / 2  # all new, in the two days there are


def test_units_younger_than_the_window_are_left_out(stores: Stores, project_id: int, orders: np.ndarray) -> None:
    found = measured(stores, project_id, type="sum", event="purchase", window_hours=49)
    assert "own-metric" not in found.levels
    assert orders.any()


def test_properties_and_counts(stores: Stores, project_id: int, orders: np.ndarray) -> None:
    found = measured(stores, project_id, type="proportion", event="purchase", where={"gift": True})
    assert found.levels["own-metric"].mean == pytest.approx((np.arange(UNITS) % 7 == 0).mean())
    counts = (orders > 0).astype(float) + (np.arange(UNITS) % 7 == 0)
    found = measured(stores, project_id, type="count", event="purchase")
    assert found.levels["own-metric"].variance == pytest.approx(counts.var(ddof=1), rel=1e-9)


@pytest.mark.parametrize("cap", [{"value": 20.0}, {"percentile": 0.9}])
def test_caps_are_those_of_the_metric(
    stores: Stores, project_id: int, orders: np.ndarray, cap: dict[str, float]
) -> None:
    found = measured(
        stores, project_id, type="sum", event="purchase", window_hours=24, cap=CapRequest.model_validate(cap)
    )
    limit = cap.get("value", np.sort(orders)[179])  # the ⌈.9·200⌉-th smallest
    assert found.levels["own-metric"].mean == pytest.approx(np.minimum(orders, limit).mean())


def test_ratios_have_the_delta_methods_variance(stores: Stores, project_id: int, orders: np.ndarray) -> None:
    found = measured(stores, project_id, type="ratio", event="purchase", numerator="sum", denominator="purchase")
    late = np.arange(UNITS) % 7 == 0
    values, counts = orders + 5.0 * late, (orders > 0).astype(float) + late
    ratio, below = values.sum() / counts.sum(), counts.mean()
    level = found.levels["own-metric"]
    assert level.mean == pytest.approx(ratio)
    assert level.variance == pytest.approx((values - ratio * counts).var(ddof=1) / below**2, rel=1e-6)


def test_a_project_without_events_has_nothing_to_measure(stores: Stores, project_id: int) -> None:
    with stores.control.reading() as session:
        known = resolve_names(session, project_id, ["purchase"])
    assert measure(stores.events, project_id, known, now=NOON) == Measured()


@pytest.mark.usefixtures("orders")
def test_values_beyond_all_sums_are_said_to_be(stores: Stores, project_id: int, add_events: Add) -> None:
    add_events([{"name": "purchase", "timestamp": NOON - dt.timedelta(days=1), "user_id": "u1", "value": 1e300}])
    found = measured(stores, project_id, type="sum", event="purchase")
    assert "own-metric" not in found.levels
    assert "so large" in found.unusable["own-metric"]
