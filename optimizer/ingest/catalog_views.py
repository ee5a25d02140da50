"""Keeps what ingest needs of each project's catalog in memory, so that no request waits for the control plane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from optimizer.catalog.definitions import list_definitions
from optimizer.ingest.prepare import CatalogView
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Project

FRESH_SECONDS = 5.0


class CatalogViews:
    """Catalog views by project, re-read when older than five seconds or when told of a change.

    Args:
        control: Where the catalog is.
        monotonic: A clock that never goes back, in seconds.
    """

    def __init__(self, control: ControlStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._monotonic = monotonic
        self._views: dict[int, tuple[float, CatalogView]] = {}
        self._lock = threading.Lock()

    def of(self, project_id: int) -> CatalogView:
        """Return a project's view."""
        with self._lock:
            read_at, view = self._views.get(project_id, (float("-inf"), None))
        if view is None or self._monotonic() - read_at > FRESH_SECONDS:
            view = self._read(project_id)
            with self._lock:
                self._views[project_id] = (self._monotonic(), view)
        return view

    def forget(self, project_id: int) -> None:
        """Re-read a project's view at the next request, because it was changed here."""
        with self._lock:
            self._views.pop(project_id, None)

    def _read(self, project_id: int) -> CatalogView:
        with self._control.reading() as session:
            project = session.get_one(Project, project_id)
            definitions = list_definitions(session, project_id)
        return CatalogView(
            project_id=project_id,
            strict=project.strict_catalog,
            contact_storage=project.contact_storage,
            retention_days=project.retention_days,
            required_properties={d.name: d.required_properties for d in definitions if d.status != "proposed"},
            seen={d.name: frozenset([d.name, *d.spellings]) for d in definitions},
        )
