"""Which project a keyless browser tracker belongs to, and which origins may send: asked on every such request.

A tracker names its project by its key (Swetrix's `pid`) or by its domain (Plausible's `domain`), which is the host of
one of the project's allowed origins. A project without allowed origins takes nothing without a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from sqlmodel import select

from optimizer.errors import ForbiddenError
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Project

FRESH_SECONDS = 2.0
ANY = "*"


class Sites:
    """The projects as browsers see them, re-read when older than two seconds or when told of a change.

    Args:
        control: Where projects are kept.
        monotonic: A clock that never goes back, in seconds.
    """

    def __init__(self, control: ControlStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._projects: Sequence[Project] = ()

    def open(self, site: str, origin: str) -> Project:
        """Find the project that takes this site's events from this origin without a key.

        Raises:
            ForbiddenError: None does; says what to do.
        """
        for project in self._known():
            if named(project, site) and allows(project, origin):
                return project
        raise ForbiddenError(
            "No project takes this site's events from this origin without a key. Name the project's key or domain, "
            "and PATCH /v1/project with the page's origin in `allowed_origins`."
        )

    def any_allows(self, origin: str) -> bool:
        """Whether some project takes events from pages of this origin: what a browser asks before it sends."""
        return any(allows(project, origin) for project in self._known())

    def forget(self) -> None:
        """Read again, because a project was changed here."""
        self._read_at = float("-inf")

    def _known(self) -> Sequence[Project]:
        if self._monotonic() - self._read_at > FRESH_SECONDS:
            with self._control.reading() as session:
                self._projects = list(session.exec(select(Project)))
            self._read_at = self._monotonic()
        return self._projects


def allows(project: Project, origin: str) -> bool:
    """Whether a project's pages include this origin."""
    return bool(origin) and (origin.lower() in project.allowed_origins or ANY in project.allowed_origins)


def named(project: Project, site: str) -> bool:
    """Whether a tracker's site means this project: by its key, or by the host of an allowed origin."""
    hosts = {urlsplit(origin).hostname for origin in project.allowed_origins}
    return bool(site) and (site == project.key or site.lower().removeprefix("www.") in _bare(hosts))


def _bare(hosts: set[str | None]) -> set[str]:
    return {host.removeprefix("www.") for host in hosts if host}
