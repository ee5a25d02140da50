"""Writes every project's catalog audit down once a quarter, so that a catalog's growth can be read back."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import Session, select

from optimizer.jobs._projects import for_each
from optimizer.jobs.schedule import Job, JobContext
from optimizer.signals.audit import AuditRequest, audit_catalog
from optimizer.signals.reports import list_reports, store_report
from optimizer.storage.tables import EventDefinition

MONTHS_A_QUARTER = 3


def run(context: JobContext) -> dict[str, Any]:
    """Audit the projects whose newest audit is of an earlier quarter; a quarter slept through is made up for."""
    with context.stores.control.reading() as session:
        catalogued = session.exec(select(EventDefinition.project_id).distinct()).all()
        due = [project for project in sorted(catalogued) if _is_due(session, project, context.now)]

    def audit(project_id: int) -> int:
        answer = audit_catalog(context.stores, project_id, AuditRequest(), now=context.now)
        with context.stores.control.session() as session:
            return store_report(session, project_id, "catalog_audit", answer, now=context.now)

    return for_each(context, due, audit)


def _is_due(session: Session, project_id: int, now: dt.datetime) -> bool:
    newest = list_reports(session, project_id, "catalog_audit")
    return not newest or _quarter(newest[0].made_at) < _quarter(now)


def _quarter(moment: dt.datetime) -> tuple[int, int]:
    return moment.year, (moment.month - 1) // MONTHS_A_QUARTER


JOB = Job("audit_catalog", "23 4 * * *", run)
