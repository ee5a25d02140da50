"""The catalog audit: now, and as it was written down quarter by quarter."""

from __future__ import annotations

import datetime as dt

from apiflask import APIBlueprint
from pydantic import BaseModel, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.signals.audit import AuditAnswer, AuditRequest, audit_catalog
from optimizer.signals.reports import get_report, page_of_reports, report_number
from optimizer.storage.tables import StoredReport

blueprint = APIBlueprint("audit", __name__, tag="Catalog")


class AuditHeading(BaseModel):
    """One audit that was written down, in short."""

    number: int = Field(description="Read it at /v1/catalog/audits/{number}.")
    made_at: dt.datetime
    names: int
    micro_conversions: int
    unused: int
    near_duplicates: int
    drop: int


class AuditList(BaseModel):
    """Audits, newest first."""

    data: list[AuditHeading]
    next_cursor: str | None


@blueprint.get("/v1/catalog/audit")
@requires("read")
@blueprint.input(AuditRequest, location="query", arg_name="query")
@blueprint.output(AuditAnswer)
@blueprint.doc(
    summary="Audit the catalog",
    description="Names not sent for 90 days, merged spellings, near-duplicate names, missing properties, more than "
    "15 micro conversions; what to drop, and three to begin with. Proposals with their numbers; nothing is changed.",
)
def read_audit(query: AuditRequest) -> AuditAnswer:
    """Audit the catalog as it is now."""
    return audit_catalog(services().stores, project_id(), query, now=now())


@blueprint.get("/v1/catalog/audits")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(AuditList)
@blueprint.doc(summary="List the audits that were written down", description="One a quarter, newest first.")
def read_audits(query: Page) -> AuditList:
    """List stored audits."""
    before = int(decode_cursor(query.cursor, int)[0]) if query.cursor else None
    with services().stores.control.reading() as session:
        page, following = page_of_reports(
            session, project_id(), "catalog_audit", AuditAnswer, before=before, limit=query.limit
        )
    headings = [_heading(row, found) for row, found in page]
    return AuditList(data=headings, next_cursor=encode_cursor(following) if following is not None else None)


@blueprint.get("/v1/catalog/audits/<number>")
@requires("read")
@blueprint.output(AuditAnswer)
@blueprint.doc(summary="Read an audit that was written down", description="As it was on the day it was made.")
def read_stored_audit(number: str) -> AuditAnswer:
    """Read one stored audit."""
    with services().stores.control.reading() as session:
        _, found = get_report(session, project_id(), "catalog_audit", report_number(number), AuditAnswer)
    return found


def _heading(row: StoredReport, found: AuditAnswer) -> AuditHeading:
    return AuditHeading(
        number=row.number,
        made_at=row.made_at,
        names=found.names,
        micro_conversions=found.micro_conversions.total,
        unused=len(found.unused),
        near_duplicates=len(found.near_duplicates),
        drop=len(found.drop),
    )
