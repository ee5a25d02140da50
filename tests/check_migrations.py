"""Fails when the tables and the migrations have drifted apart (`alembic check` on a fresh database)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from alembic import command

from optimizer.storage.control import ControlStore
from optimizer.storage.migrate import alembic_config, upgrade


def check() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ControlStore(f"sqlite:///{Path(folder) / 'control.sqlite'}")
        upgrade(store)
        command.check(alembic_config(store))
        store.close()


if __name__ == "__main__":
    check()
