"""What a view may reach: the services of the running application and the caller's project."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app, g

from optimizer.ingest.collector import Collector
from optimizer.settings import Settings
from optimizer.storage.stores import Stores
from optimizer.storage.tables import Project

EXTENSION = "optimizer"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that the composition root put together.

    Attributes:
        settings: The frozen settings of this process.
        stores: Control plane, event plane and cipher.
        collector: The group-committing writer of events.
        clock: The current time, aware UTC; tests inject their own.
    """

    settings: Settings
    stores: Stores
    collector: Collector
    clock: Callable[[], dt.datetime]


def services() -> Services:
    """Return the services of the running application."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def project() -> Project:
    """Return the project that the request's key opens (set by `requires`)."""
    found: Project = g.project
    return found


def project_id() -> int:
    """Return the id of the project that the request's key opens."""
    found = project().id
    assert found is not None  # noqa: S101 - a stored project has an id
    return found


def now() -> dt.datetime:
    """Return the current time, aware UTC."""
    return services().clock()
