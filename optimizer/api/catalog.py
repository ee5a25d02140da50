"""The catalog of event definitions."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.catalog.definitions import (
    DefinitionAnswer,
    DefinitionRequest,
    get_definition,
    list_definitions,
    put_definition,
)
from optimizer.ingest.quality import QualityAnswer, QualityRequest, quality

blueprint = APIBlueprint("catalog", __name__, tag="Catalog")


class CatalogAnswer(BaseModel):
    """Every event name of a project."""

    data: list[DefinitionAnswer]
    next_cursor: None = None


@blueprint.get("/v1/catalog")
@requires("read")
@blueprint.output(CatalogAnswer)
@blueprint.doc(summary="List the catalog", description="Names that were only ever sent have the status `proposed`.")
def read_catalog() -> CatalogAnswer:
    """List every known event name."""
    with services().stores.control.reading() as session:
        return CatalogAnswer(data=list_definitions(session, project_id()))


@blueprint.get("/v1/catalog/quality")
@requires("read")
@blueprint.input(QualityRequest, location="query", arg_name="query")
@blueprint.output(QualityAnswer)
@blueprint.doc(
    summary="Count what is wrong with the data, per event name",
    description="Missing and wrong properties, merged spellings, unknown names, and what was rejected.",
)
def read_quality(query: QualityRequest) -> QualityAnswer:
    """Count reservations and rejections."""
    services().ingest.tally.flush()
    return quality(services().stores, project_id(), query.days, now=now())


@blueprint.get("/v1/catalog/events/<name>")
@requires("read")
@blueprint.output(DefinitionAnswer)
@blueprint.doc(summary="Read one event definition")
def read_definition(name: str) -> DefinitionAnswer:
    """Read one definition, under any spelling."""
    with services().stores.control.reading() as session:
        return get_definition(session, project_id(), name)


@blueprint.put("/v1/catalog/events/<name>")
@requires("manage")
@blueprint.input(DefinitionRequest, arg_name="body")
@blueprint.output(DefinitionAnswer)
@blueprint.doc(
    summary="Define an event", description="Names are stored in canonical form, for example `add_to_cart`."
)
def write_definition(name: str, body: DefinitionRequest) -> DefinitionAnswer:
    """Create or replace one definition."""
    with services().stores.control.session() as session:
        answer = put_definition(session, project_id(), name, body, now=now())
    services().ingest.views.forget(project_id())
    return answer
