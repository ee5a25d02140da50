"""Event definitions: what each event means, what it must carry, and which spellings were merged into it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, func, select

from optimizer.core.naming import REFUSED_NAMES, canonical_name
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.storage.tables import EventDefinition, EventSpelling

Kind = Literal["macro", "process_milestone", "secondary_action"]
PropertyType = Literal["string", "number", "integer", "boolean", "array", "object"]
PropertyName = Annotated[str, Field(min_length=1, max_length=100)]
MAXIMUM_NAMES = 5_000


class DefinitionRequest(BaseModel):
    """What a team says about one event name."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = Field(None, description="macro (the goal), process_milestone or secondary_action.")
    description: str = Field("", max_length=2000, description="What has to happen for this event to be sent.")
    required_properties: dict[PropertyName, PropertyType] = Field(
        default_factory=dict,
        max_length=50,
        description="Property name to its JSON type; missing ones are warned about.",
    )
    status: Literal["active", "proposed", "deprecated"] = Field("active", description="Where it stands.")
    count_once_per: Literal["event", "session", "unit"] = Field("event", description="How repeats count.")
    owner: str | None = Field(None, max_length=200, description="Whom to ask.")


class DefinitionAnswer(DefinitionRequest):
    """One catalogued event."""

    name: str = Field(description="Canonical name.")
    spellings: list[str] = Field(description="Other spellings that were sent and merged into this name.")
    created_at: dt.datetime
    updated_at: dt.datetime


def put_definition(
    session: Session, project_id: int, name: str, request: DefinitionRequest, *, now: dt.datetime
) -> DefinitionAnswer:
    """Create or replace a definition.

    Raises:
        InvalidInputError: The name is empty, not canonical, or too generic to learn from.
    """
    canonical = canonical_name(name)
    if not canonical:
        raise InvalidInputError.at("/name", "empty_name", "The name must contain a letter or a digit.")
    if canonical in REFUSED_NAMES:
        detail = f"`{canonical}` is too generic to learn from: say what was done, for example add_to_cart."
        raise InvalidInputError.at("/name", "generic_name", detail)
    row = _find(session, project_id, canonical) or EventDefinition(
        project_id=project_id, name=canonical, created_at=now
    )
    for field, value in request.model_dump().items():
        setattr(row, field, value)
    row.updated_at = now
    session.add(row)
    session.flush()
    return _answer(row, _spellings(session, project_id).get(canonical, []))


def get_definition(session: Session, project_id: int, name: str) -> DefinitionAnswer:
    """Read one definition.

    Raises:
        NotFoundError: Neither catalogued nor ever sent.
    """
    row = _find(session, project_id, canonical_name(name))
    if row is None:
        raise NotFoundError("This name was neither catalogued nor ever sent. GET /v1/catalog lists the known ones.")
    return _answer(row, _spellings(session, project_id).get(row.name, []))


def list_definitions(session: Session, project_id: int) -> list[DefinitionAnswer]:
    """Read the whole catalog, by name; names that were only ever sent are `proposed`."""
    spellings = _spellings(session, project_id)
    rows = session.exec(
        select(EventDefinition).where(EventDefinition.project_id == project_id).order_by(EventDefinition.name)
    )
    return [_answer(row, spellings.get(row.name, [])) for row in rows]


def record_seen(session: Session, project_id: int, seen: dict[str, set[str]], *, now: dt.datetime) -> None:
    """List new names as `proposed` and remember spellings; idempotent.

    Args:
        session: An open write transaction.
        project_id: Whose catalog.
        seen: Canonical name to the spellings that were sent.
        now: When.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    known = session.exec(
        select(func.count()).select_from(EventDefinition).where(EventDefinition.project_id == project_id)
    ).one()
    names = [
        {"project_id": project_id, "name": name, "created_at": now, "updated_at": now, **_PROPOSED}
        for name in sorted(seen)
        if name not in REFUSED_NAMES
    ][: max(0, MAXIMUM_NAMES - known)]
    if names:
        session.execute(insert(EventDefinition).on_conflict_do_nothing(), names)
    spelled = [
        {"project_id": project_id, "name": name, "spelling": spelling, "first_seen_at": now}
        for name, spellings in seen.items()
        for spelling in spellings
        if spelling != name
    ]
    if spelled:
        session.execute(insert(EventSpelling).on_conflict_do_nothing(), spelled)


_PROPOSED: dict[str, object] = {
    "kind": None,
    "description": "",
    "required_properties": {},
    "status": "proposed",
    "count_once_per": "event",
    "owner": None,
}


def _find(session: Session, project_id: int, name: str) -> EventDefinition | None:
    return session.exec(
        select(EventDefinition).where(EventDefinition.project_id == project_id, EventDefinition.name == name)
    ).first()


def _spellings(session: Session, project_id: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rows = session.exec(
        select(EventSpelling).where(EventSpelling.project_id == project_id).order_by(col(EventSpelling.spelling))
    )
    for row in rows:
        found.setdefault(row.name, []).append(row.spelling)
    return found


def _answer(row: EventDefinition, spellings: list[str]) -> DefinitionAnswer:
    fields = {name: getattr(row, name) for name in DefinitionAnswer.model_fields if name != "spellings"}
    return DefinitionAnswer(**fields, spellings=spellings)
