"""Finds the offender of a refused batch: a platform that refuses a request for one event must not cost the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optimizer.feedback.contract import Outcome, Rejected

Post = Callable[[Sequence[dict[str, Any]]], Outcome]


def send_halving(items: Sequence[dict[str, Any]], post: Post) -> list[Outcome]:
    """Send a batch; halve a refused one until the refused item stands alone.

    Args:
        items: Rendered items.
        post: Sends one request and says what became of all of it.

    Returns:
        One outcome per item, in order.
    """
    if not items:
        return []
    outcome = post(items)
    if not isinstance(outcome, Rejected) or len(items) == 1:
        return [outcome] * len(items)
    half = len(items) // 2
    return [*send_halving(items[:half], post), *send_halving(items[half:], post)]
