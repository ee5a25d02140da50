from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import KeyedClient

Draft = Callable[..., Any]


@pytest.fixture
def draft(client: KeyedClient) -> Draft:
    """Draft an experiment on a catalogued metric; what is left out gets a default."""
    client.put("/v1/catalog/events/add_to_cart", json={})

    def make(key: str = "pdp-cta", **design: Any) -> Any:
        variants = [{"key": "control"}, {"key": "treatment"}]
        given = {"key": key, "variants": variants, "primary_metric": "add_to_cart", **design}
        return client.post("/v1/experiments", json=given)

    return make


@pytest.fixture
def run(client: KeyedClient, draft: Draft) -> Draft:
    """Draft an experiment and start it."""

    def start(key: str = "pdp-cta", **design: Any) -> Any:
        made = draft(key, **design)
        assert made.status_code == 201, made.json
        return client.post(f"/v1/experiments/{key}/start")

    return start
