"""The process dies while the platform is being told: nothing is lost, and the platform counts everything once."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optimizer.app import open_stores
from optimizer.feedback.dispatcher import LEASE
from optimizer.feedback.sync import synchronise
from optimizer.feedback.telling import Values
from optimizer.settings import Settings
from optimizer.storage.tables.base import utc_now
from tests.conftest import SECRET, KeyedClient
from tests.fixtures.feedback import rule
from tests.fixtures.sandbox import Sandbox

RUN = """
import random, sys
from pathlib import Path
from optimizer.app import open_stores
from optimizer.feedback.telling import Values
from optimizer.feedback.sync import synchronise
from optimizer.settings import Settings
from optimizer.storage.tables.base import utc_now
stores = open_stores(Settings(data_dir=Path(sys.argv[1]), secret_key=sys.argv[2]))
synchronise(stores, 1, Values({}, None, "EUR"), now=utc_now(), rng=random.Random(1))
"""


@pytest.fixture
def pending(connected: KeyedClient, send_events: Any, app: Any, tmp_path: Path) -> Settings:
    """A data folder with five carts to be sent to Meta, and no process that holds it."""
    from optimizer.app import close_app

    connected.put("/v1/signal-rules/carts", json=rule(destinations=["meta-main"]))
    send_events(5)
    close_app(app)
    return Settings(data_dir=tmp_path, secret_key=SECRET)


@pytest.mark.parametrize("kind", ["hang_after", "timeout"])
def test_a_job_killed_while_sending_is_taken_up_again(kind: str, pending: Settings, sandbox: Sandbox) -> None:
    sandbox.order({"kind": kind, "seconds": 5})
    with subprocess.Popen([sys.executable, "-c", RUN, str(pending.data_dir), SECRET]) as run:
        sandbox.wait_for_request()
        run.kill()
    stores = open_stores(pending)
    now = utc_now()
    values, rng = Values({}, None, "EUR"), random.Random(1)  # noqa: S311 - jitter only
    [_, held] = synchronise(stores, 1, values, now=now, rng=rng).destinations
    assert held.sent == 0  # the dead run's lease still holds
    [_, total] = synchronise(stores, 1, values, now=now + LEASE + dt.timedelta(seconds=1), rng=rng).destinations
    assert total.sent == 5
    received = sandbox.received("meta")
    assert len({item["key"] for item in received}) == len(received) == 5
    stores.events.close()
    stores.control.close()
