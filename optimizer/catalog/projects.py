"""Projects: one site or app each; everything belongs to exactly one."""

from __future__ import annotations

import zoneinfo
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from optimizer.errors import ConflictError, NotFoundError
from optimizer.storage.tables import Project

DEFAULT_PROJECT = "default"


def _known_time_zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise ValueError("must be a name of the IANA time zone database such as Europe/Berlin")
    return name


def _an_origin(text: str) -> str:
    found = urlsplit(text.strip().lower())
    if text != "*" and (found.scheme not in {"http", "https"} or not found.netloc or found.path.strip("/")):
        raise ValueError("must be an origin such as https://shop.example.com, or * for all")
    return text if text == "*" else f"{found.scheme}://{found.netloc}"


Origin = Annotated[str, AfterValidator(_an_origin)]
TimeZone = Annotated[str, AfterValidator(_known_time_zone)]


class ProjectPatch(BaseModel):
    """What may be changed about a project."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200, description="Shown to people.")
    currency: str | None = Field(None, pattern="^[A-Z]{3}$", description="ISO 4217; values are reported in it.")
    time_zone: TimeZone | None = Field(None, description="IANA name; days begin at its midnight.")
    strict_catalog: bool | None = Field(None, description="Reject events whose name is not catalogued.")
    contact_storage: bool | None = Field(None, description="Keep e-mail and phone (encrypted), given consent.")
    randomise_without_consent: bool | None = Field(None, description="Whether visitors without consent are tested.")
    allowed_origins: list[Origin] | None = Field(
        None, max_length=100, description="Origins of browser trackers (CORS)."
    )
    retention_days: int | None = Field(
        None, ge=1, le=36_500, description="Days that events are kept; null keeps all."
    )


class ProjectRequest(ProjectPatch):
    """A new project."""

    key: str = Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", description="Stable identifier.")


def ensure_default_project(session: Session) -> Project:
    """Return the first project, making it when the installation is new."""
    found = session.exec(select(Project).where(Project.key == DEFAULT_PROJECT)).first()
    if found is None:
        found = Project(key=DEFAULT_PROJECT, name="Default project")
        session.add(found)
        session.flush()
    return found


def find_project(session: Session, key: str) -> Project:
    """Find a project by its key.

    Raises:
        NotFoundError: There is none; names those there are.
    """
    found = session.exec(select(Project).where(Project.key == key)).first()
    if found is None:
        known = ", ".join(sorted(session.exec(select(Project.key))))
        raise NotFoundError(f"There is no project with the key {key}. Known are: {known}.")
    return found


def create_project(session: Session, request: ProjectRequest) -> Project:
    """Make a project.

    Raises:
        ConflictError: The key is taken.
    """
    given = request.model_dump(exclude_unset=True, exclude_none=True)
    project = Project(**{"name": request.key, **given})
    session.add(project)
    try:
        session.flush()
    except IntegrityError:
        raise ConflictError("A project with this key exists already; nothing was changed.") from None
    return project


def patch_project(session: Session, project_id: int, patch: ProjectPatch) -> Project:
    """Change what was given and leave the rest."""
    project = session.get_one(Project, project_id)
    for name, value in patch.model_dump(exclude_unset=True).items():
        if value is not None or name == "retention_days":
            setattr(project, name, value)
    session.add(project)
    return project
