"""Projects and keys."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from apiflask import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project, project_id, services
from optimizer.catalog.keys import create_key, list_keys, revoke_key
from optimizer.catalog.projects import DEFAULT_PROJECT, ProjectPatch, ProjectRequest, create_project, patch_project
from optimizer.errors import ForbiddenError
from optimizer.storage.tables import ApiKey, Project

blueprint = APIBlueprint("projects", __name__, tag="Projects and keys")


class ProjectAnswer(BaseModel):
    """One project."""

    key: str
    name: str
    currency: str
    time_zone: str
    strict_catalog: bool
    contact_storage: bool
    randomise_without_consent: bool
    allowed_origins: list[str]
    retention_days: int | None
    created_at: dt.datetime


class NewProjectAnswer(ProjectAnswer):
    """A project just made, with its first key."""

    admin_key: str = Field(description="An admin key of the new project; shown this once.")


class KeyRequest(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["ingest", "read", "segments", "manage", "admin"] = Field(description="What it may do.")
    name: str = Field("", max_length=200, description="What it is for.")


class KeyAnswer(BaseModel):
    """One key, without the key."""

    prefix: str = Field(description="Names the key when revoking it.")
    scope: str
    name: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None


class NewKeyAnswer(KeyAnswer):
    """A key just made."""

    key: str = Field(description="The key itself; shown this once.")


class KeyList(BaseModel):
    """A project's keys."""

    data: list[KeyAnswer]
    next_cursor: None = None


@blueprint.post("/v1/projects")
@requires("admin")
@blueprint.input(ProjectRequest, arg_name="body")
@blueprint.output(NewProjectAnswer, status_code=201)
@blueprint.doc(summary="Make a project", description="Takes an admin key of the first project, `default`.")
def make_project(body: ProjectRequest) -> NewProjectAnswer:
    """Make a project and its first key."""
    if project().key != DEFAULT_PROJECT:
        raise ForbiddenError("Projects are made with an admin key of the project `default`.")
    with services().stores.control.session() as session:
        made = create_project(session, body)
        _, key = create_key(session, made.id or 0, "admin", "first key", now=now())
        return NewProjectAnswer(**_project_fields(made), admin_key=key)


@blueprint.get("/v1/project")
@requires("read")
@blueprint.output(ProjectAnswer)
@blueprint.doc(summary="Read the project of the key")
def read_project() -> ProjectAnswer:
    """Read the project that the key opens."""
    return ProjectAnswer(**_project_fields(project()))


@blueprint.patch("/v1/project")
@requires("manage")
@blueprint.input(ProjectPatch, arg_name="body")
@blueprint.output(ProjectAnswer)
@blueprint.doc(summary="Change the project of the key")
def change_project(body: ProjectPatch) -> ProjectAnswer:
    """Change what was given and leave the rest."""
    with services().stores.control.session() as session:
        changed = patch_project(session, project_id(), body)
        session.flush()
        answer = ProjectAnswer(**_project_fields(changed))
    services().ingest.views.forget(project_id())
    services().keys.forget()
    services().sites.forget()
    return answer


@blueprint.get("/v1/keys")
@requires("admin")
@blueprint.output(KeyList)
@blueprint.doc(summary="List keys by prefix")
def read_keys() -> KeyList:
    """List the project's keys."""
    with services().stores.control.reading() as session:
        return KeyList(data=[KeyAnswer(**_key_fields(row)) for row in list_keys(session, project_id())])


@blueprint.post("/v1/keys")
@requires("admin")
@blueprint.input(KeyRequest, arg_name="body")
@blueprint.output(NewKeyAnswer, status_code=201)
@blueprint.doc(summary="Make a key", description="The key is shown this once and stored hashed.")
def make_key(body: KeyRequest) -> NewKeyAnswer:
    """Make a key of the project."""
    with services().stores.control.session() as session:
        row, key = create_key(session, project_id(), body.scope, body.name, now=now())
        return NewKeyAnswer(**_key_fields(row), key=key)


@blueprint.delete("/v1/keys/<prefix>")
@requires("admin")
@blueprint.doc(summary="Revoke a key", responses={204: "Revoked"})
def close_key(prefix: str) -> tuple[str, int]:
    """Revoke a key for good."""
    with services().stores.control.session() as session:
        revoke_key(session, project_id(), prefix, now=now())
    services().keys.forget()
    return "", 204


def _project_fields(row: Project) -> dict[str, object]:
    return {name: getattr(row, name) for name in ProjectAnswer.model_fields}


def _key_fields(row: ApiKey) -> dict[str, object]:
    return {name: getattr(row, name) for name in KeyAnswer.model_fields}
