"""Sessions on the control plane, SQLite or PostgreSQL, chosen by URL alone.

SQLite runs in WAL mode with full synchronisation, because a delivery that is recorded as sent must survive a power
cut. Writers take the lock at the start of a write transaction (`BEGIN IMMEDIATE`) so that two threads wait for each
other instead of failing half-way.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement, Compiled, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlmodel import Session

from optimizer.errors import ConfigurationError

BUSY_TIMEOUT_SECONDS = 30
BUSY_RETRY_SECONDS = 0.02
STATEMENT_TIMEOUT_MILLISECONDS = 30_000
SQLITE_PRAGMAS = ("PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was compiled once and goes straight to the driver, in a transaction of its own.

    A session, or a statement compiled and unpacked each time, costs several times the query itself.

    Attributes:
        engine: Where it is asked.
        compiled: What is asked.
    """

    engine: Engine
    compiled: Compiled

    def rows(self, values: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
        """Return what it finds, each value as the driver gives it.

        Raises:
            OperationalError: The driver could not answer.
        """
        given = self.compiled.construct_params(values) or {}
        places = getattr(self.compiled, "positiontup", None)
        bound = given if places is None else tuple(given[name] for name in places)
        try:
            with closing(self.engine.raw_connection()) as connection:
                cursor = connection.cursor()
                cursor.execute(self.compiled.string, bound)
                return list(cursor.fetchall())
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise OperationalError(self.compiled.string, None, error) from error


class ControlStore:
    """The control plane's connections.

    Args:
        url: SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``.

    Raises:
        ConfigurationError: The URL names another database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Rows stay readable after the block (`expire_on_commit=False`).
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One read-only transaction; on SQLite it never waits for a writer."""
        bound = self.engine.execution_options(read_only=True)
        with Session(bound, expire_on_commit=False, autoflush=False) as session, session.begin():
            yield session

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction without the bookkeeping of a session: for writes that are made at every request."""
        return self.engine.begin()

    def query(self, statement: ClauseElement) -> Query:
        """Compile a query that is asked at every request."""
        return Query(self.engine, statement.compile(self.engine))

    @property
    def is_sqlite(self) -> bool:
        """Whether the control plane is the embedded file."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close every pooled connection (also before a fork: connections must not cross it)."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "database_url is not a database URL such as postgresql+psycopg://host/name."
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(url, parsed.database)
    if parsed.drivername != "postgresql+psycopg":
        raise ConfigurationError("database_url must begin with sqlite:/// or postgresql+psycopg://.")
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS} -c timezone=UTC"
    return create_engine(
        url, pool_pre_ping=True, pool_size=20, connect_args={"connect_timeout": 10, "options": options}
    )


def _sqlite_engine(url: str, database: str | None) -> Engine:
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, pool_size=40, connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:  # noqa: ANN401 - the driver's own objects
        del record
        connection.isolation_level = None  # SQLAlchemy's `begin` event below opens transactions, not the driver
        _turn_on_wal(connection)
        for pragma in SQLITE_PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:  # noqa: ANN401 - the driver's own objects
        reads = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _turn_on_wal(connection: Any) -> None:  # noqa: ANN401 - the driver's own object
    # Of several that open a new file together SQLite refuses all but one, without the wait it grants otherwise.
    until = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(BUSY_RETRY_SECONDS)
        else:
            return
