"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from optimizer.api._context import services
from optimizer.api._problems import problem

blueprint = APIBlueprint("operations", __name__, tag="Operations")


@blueprint.get("/healthz")
@blueprint.doc(summary="Is the process alive", responses={200: "Alive"})
def healthz() -> Response:
    """Answer as long as the process runs."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@blueprint.doc(summary="Can it do its work", responses={200: "Ready", 503: "Not ready; says which part"})
def readyz() -> Response:
    """Check both stores and the writer."""
    parts = services()
    if not parts.ingest.collector.alive:
        return problem(503, "Not ready", "The event writer is not running.", headers={"Retry-After": "5"})
    try:
        with parts.stores.control.reading() as session:
            session.connection().execute(text("SELECT 1"))
    except SQLAlchemyError:
        return problem(503, "Not ready", "The control plane does not answer.", headers={"Retry-After": "5"})
    parts.stores.events.table("events").limit(1).select("sequence").to_pyarrow()
    return jsonify(status="ready")
