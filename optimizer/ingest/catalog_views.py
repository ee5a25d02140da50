"""Keeps what ingest needs of each project's catalog in memory, so that no request waits for the control plane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from optimizer.catalog.definitions import list_definitions
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Project

FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class KnownName:
    """What the catalog says of one spelling of an event's name.

    Attributes:
        name: The canonical name.
        catalogued: Somebody entered it, as opposed to its having only been sent.
        required_properties: Property to JSON type.
    """

    name: str
    catalogued: bool = False
    required_properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CatalogView:
    """What ingest needs of a project and its catalog.

    Attributes:
        project_id: The project.
        currency: Values of events are added up in it.
        strict: Reject names that are not catalogued.
        contact_storage: Keep raw contacts (encrypted), given consent.
        retention_days: Reject events older than this; None keeps all.
        names: Every recorded spelling, the canonical one included, to what is known of it.
    """

    project_id: int
    currency: str = "EUR"
    strict: bool = False
    contact_storage: bool = False
    retention_days: int | None = None
    names: Mapping[str, KnownName] = field(default_factory=dict)


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
        names = {}
        for found in definitions:
            known = KnownName(found.name, found.status != "proposed", found.required_properties)
            names.update(dict.fromkeys([found.name, *found.spellings], known))
        return CatalogView(
            project_id=project_id,
            currency=project.currency,
            strict=project.strict_catalog,
            contact_storage=project.contact_storage,
            retention_days=project.retention_days,
            names=names,
        )
