"""Brings the control plane to the newest schema at start, one process at a time, never waiting for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from optimizer.errors import ConfigurationError
from optimizer.storage.control import ControlStore

ADVISORY_LOCK = 7_301_994_417
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"


def migrations_folder() -> Path:
    """Where the migration scripts are: inside the wheel, or beside the package in a checkout."""
    shipped = Path(str(files("optimizer"))) / "_migrations"
    return shipped if shipped.is_dir() else Path(str(files("optimizer"))).parent / "migrations"


def alembic_config(store: ControlStore) -> Config:
    """Alembic's configuration for a store, without any file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["engine"] = store.engine
    return config


def upgrade(store: ControlStore) -> None:
    """Apply what is missing, in one transaction under a lock; does nothing when the schema is current.

    Raises:
        ConfigurationError: The database cannot be reached or stays locked. Nothing was changed.
    """
    config = alembic_config(store)
    try:
        with store.engine.begin() as connection:
            if not store.is_sqlite:
                connection.execute(text(LOCK_TIMEOUT))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            with _shared(config, connection):
                command.upgrade(config, "head")
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
        raise ConfigurationError(
            f"The control plane cannot be opened or migrated ({reason}). Nothing was changed."
        ) from None


@contextlib.contextmanager
def _shared(config: Config, connection: Connection) -> Iterator[None]:
    config.attributes["connection"] = connection
    try:
        yield
    finally:
        del config.attributes["connection"]
