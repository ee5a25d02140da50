"""Alembic's entry: uses the connection the caller holds a lock on, else the control plane of the settings."""

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import optimizer.storage.tables  # noqa: F401 - importing it fills the metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


held = context.config.attributes.get("connection")
if held is not None:
    run(held)
else:
    engine = context.config.attributes.get("engine")
    if engine is None:
        from optimizer.settings import load
        from optimizer.storage.control import ControlStore

        engine = ControlStore(load().control_url).engine
    with engine.connect() as connection:
        run(connection)
        connection.commit()
