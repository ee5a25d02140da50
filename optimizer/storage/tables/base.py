"""What every control-plane table shares: the constraint naming convention and the UTC column type.

Without a naming convention constraints get names that differ between databases, and a later migration cannot
drop them. SQLite forgets time zones, so `UtcDateTime` stores naive UTC and hands back aware values everywhere.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A time-zone-aware UTC datetime on every database; refuses naive values."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Store UTC without a zone."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("datetime must be time-zone aware")
        return value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ANN401 - SQLAlchemy's signature
        """Hand back aware UTC."""
        del dialect
        return None if value is None else value.replace(tzinfo=dt.UTC)


def utc_now() -> dt.datetime:
    """The clock of rows that record when they were made; everything that decides takes `now` as an argument."""
    return dt.datetime.now(dt.UTC)
