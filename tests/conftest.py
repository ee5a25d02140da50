"""Fixtures that every test may use: real stores in a temporary folder, the whole application, its clients."""

from __future__ import annotations

import datetime as dt
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from optimizer.api._context import EXTENSION
from optimizer.app import close_app, create_app
from optimizer.catalog.keys import create_key
from optimizer.catalog.projects import ProjectRequest, create_project, ensure_default_project
from optimizer.cli._logging import configure_logging
from optimizer.ingest.dedup import hash_id
from optimizer.ingest.identity import unit_of
from optimizer.settings import Settings
from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.events import EVENT_SCHEMA, EXPOSURE_SCHEMA, naive_utc
from optimizer.storage.migrate import upgrade
from optimizer.storage.open import open_event_store
from optimizer.storage.stores import Stores
from tests.fixtures.described import assert_as_described

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
SECRET = "a secret key for tests only"

pytest_plugins = [
    "tests.fixtures.clickhouse",
    "tests.fixtures.postgres",
    "tests.fixtures.server",
    "tests.fixtures.finished",
    "tests.fixtures.results",
    "tests.fixtures.sandbox",
    "tests.fixtures.feedback",
    "tests.fixtures.plans",
]


os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process that a test starts would compile everything anew
configure_logging("warning")  # structlog's own default renders tracebacks with all their values, slowly

# Two shared cores: no deadline per example, few enough examples that the whole run stays short, and the same ones
# every time, so that what fails fails again. `--hypothesis-profile search` draws others.
hypothesis_settings.register_profile(
    "project", deadline=None, max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.register_profile(
    "search", deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("project")


def pytest_collection_finish() -> None:
    """Leave what is imported to itself: the garbage collector need not walk over it again and again."""
    gc.collect()
    gc.freeze()


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, **duration: float) -> dt.datetime:
        """Move on by a `timedelta`'s arguments."""
        self.now += dt.timedelta(**duration)
        return self.now


class KeyedClient:
    """A Flask test client whose requests carry a key."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self.key = key

    def open(self, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        answer = self._client.open(path, headers=headers, **options)
        assert_as_described(self._client.application, options.get("method", "GET"), answer)
        return answer

    def get(self, path: str, **options: Any) -> Any:
        return self.open(path, method="GET", **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.open(path, method="POST", **options)

    def put(self, path: str, **options: Any) -> Any:
        return self.open(path, method="PUT", **options)

    def patch(self, path: str, **options: Any) -> Any:
        return self.open(path, method="PATCH", **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.open(path, method="DELETE", **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_control(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated, empty SQLite control plane: copied for each test, because migrating costs a second."""
    path = tmp_path_factory.mktemp("template") / "control.sqlite"
    control = ControlStore(f"sqlite:///{path}")
    upgrade(control)
    with control.session() as session:
        ensure_default_project(session)
    with control.engine.connect() as connection:
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    control.close()
    return path.read_bytes()


@pytest.fixture
def stores(tmp_path: Path, empty_control: bytes) -> Iterator[Stores]:
    path = tmp_path / "control.sqlite"
    path.write_bytes(empty_control)
    control = ControlStore(f"sqlite:///{path}")
    made = Stores(control, open_event_store(f"duckdb:///{tmp_path / 'events.duckdb'}"), Cipher(SECRET))
    yield made
    made.events.close()
    control.close()


@pytest.fixture
def project_id(stores: Stores) -> int:
    with stores.control.session() as session:
        found = ensure_default_project(session).id
    assert found is not None
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, secret_key=SECRET, scheduler=False)


@pytest.fixture
def app(settings: Settings, stores: Stores, clock: Clock) -> Iterator[APIFlask]:
    made = create_app(settings, stores, clock=clock)
    made.testing = False
    yield made
    close_app(made)


@pytest.fixture
def client_of(app: APIFlask, clock: Clock) -> Callable[..., KeyedClient]:
    """Give a client with a key of a project, which is made when missing."""

    def give(project: str = "default", scope: str = "admin") -> KeyedClient:
        control = app.extensions[EXTENSION].stores.control
        with control.session() as session:
            row = (
                ensure_default_project(session)
                if project == "default"
                else create_project(session, ProjectRequest(key=project))
            )
            _, key = create_key(session, row.id or 0, scope, now=clock.now)
        return KeyedClient(app.test_client(), key)

    return give


@pytest.fixture
def client(client_of: Callable[..., KeyedClient]) -> KeyedClient:
    return client_of()


@pytest.fixture
def add_events(stores: Stores, project_id: int) -> Callable[[list[dict[str, Any]]], None]:
    """Write event rows straight into the event store; what a row leaves out gets a default."""
    counter = iter(range(1, 10**9))

    def add(rows: list[dict[str, Any]]) -> None:
        stores.events.append({"events": pa.Table.from_pylist([_event(row) for row in rows], schema=EVENT_SCHEMA)})

    def _event(row: dict[str, Any]) -> dict[str, Any]:
        number = next(counter)
        filled = {"project_id": project_id, "event_id": f"e{number}", "sequence": number, "content_hash": 0, **row}
        filled["id_hash"] = hash_id(filled["project_id"], filled["event_id"])
        filled["timestamp"] = naive_utc(row["timestamp"])
        filled["received_at"] = naive_utc(row.get("received_at", row["timestamp"]))
        filled.setdefault("unit_id", unit_of(row.get("user_id"), row.get("anonymous_id")))
        filled["properties"] = msgspec.json.encode(row.get("properties", {})).decode()
        return filled

    return add


@pytest.fixture
def add_exposures(stores: Stores, project_id: int) -> Callable[[list[dict[str, Any]]], None]:
    """Write exposure rows straight into the event store; what a row leaves out gets a default."""
    counter = iter(range(1, 10**9))

    def add(rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist([_exposure(row) for row in rows], schema=EXPOSURE_SCHEMA)
        stores.events.append({"exposures": table})

    def _exposure(row: dict[str, Any]) -> dict[str, Any]:
        number = next(counter)
        filled = {"project_id": project_id, "exposure_id": f"x{number}", "sequence": number, "content_hash": 0, **row}
        filled["id_hash"] = hash_id(filled["project_id"], filled["exposure_id"])
        filled["timestamp"] = naive_utc(row["timestamp"])
        filled["received_at"] = naive_utc(row.get("received_at", row["timestamp"]))
        filled.setdefault("unit_id", unit_of(row.get("user_id"), row.get("anonymous_id")))
        return filled

    return add
