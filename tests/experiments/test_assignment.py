"""What two ids of one person get is what either was shown first, whether that had to be looked up or not."""

from __future__ import annotations

import pytest

from optimizer.experiments.assignment import decide, read_visitor
from optimizer.experiments.flags import Flags
from optimizer.ingest.event import NOT_ENROLLED
from optimizer.storage.stores import Stores
from tests.conftest import NOON
from tests.experiments.conftest import Draft


@pytest.mark.parametrize("allocation", [1.0, 0.6])
@pytest.mark.parametrize("shown", ["", "u", "a", "ua", "au"])
def test_two_ids_get_what_either_was_shown_first(run: Draft, stores: Stores, allocation: float, shown: str) -> None:
    run(allocation=allocation)
    flag = Flags(stores.control).of(1)["pdp-cta"]
    for number in range(200):
        hashed = {kind: flag.hashed(f"{kind}:{kind}{number}") for kind in "ua"}
        seen = [variant for kind in shown if (variant := hashed[kind]) is not None]  # who takes part sees the hash's
        visitor = read_visitor({"user_id": f"u{number}", "anonymous_id": f"a{number}"})
        first = next(iter(seen), None)
        found = decide(flag, visitor, lambda *_, first=first: first, randomise_without_consent=True, now=NOON)
        assert found is not None
        assert found.variant == (first or hashed["u"] or NOT_ENROLLED)
