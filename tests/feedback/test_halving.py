from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from optimizer.feedback.contract import Accepted, Outcome, Rejected
from optimizer.feedback.halving import send_halving


@given(st.lists(st.booleans(), max_size=64))
def test_exactly_the_bad_items_are_rejected_and_every_good_one_is_sent_once(good: list[bool]) -> None:
    arrived: list[int] = []

    def post(items: Sequence[dict[str, Any]]) -> Outcome:
        if all(good[item["n"]] for item in items):
            arrived.extend(item["n"] for item in items)
            return Accepted()
        return Rejected("one is bad")

    outcomes = send_halving([{"n": n} for n in range(len(good))], post)
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == good
    assert arrived == [n for n, fine in enumerate(good) if fine]
