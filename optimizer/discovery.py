"""Finds the modules of a room, so that nobody edits a list when a platform, job or endpoint is added."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from types import ModuleType


def discover_modules(package: str) -> Iterator[ModuleType]:
    """Import every public module directly under a package, then those that other wheels add to it.

    Args:
        package: Dotted name, for example ``optimizer.jobs``. Other wheels join through the entry point group
            of the same name.

    Yields:
        Imported modules, sorted by name; names that begin with an underscore are private and left out.
    """
    parent = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(parent.__path__), key=lambda found: found.name):
        if not info.name.startswith("_"):
            yield importlib.import_module(f"{package}.{info.name}")
    for entry in sorted(_added(package), key=lambda found: found.name):
        yield importlib.import_module(entry.value)


@cache
def _added(group: str) -> EntryPoints:
    # Read once: it opens a file of every distribution, and nothing is installed while a process runs.
    return entry_points(group=group)
