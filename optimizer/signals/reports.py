"""Keeps what scheduled jobs found out: one numbered document per project and kind, never changed afterwards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError
from sqlmodel import Session, col, func, select

from optimizer.errors import NotFoundError
from optimizer.storage.tables import StoredReport

Kind = Literal["catalog_audit", "likelihood_model", "value_table"]
Document = TypeVar("Document", bound=BaseModel)
LONGEST_NUMBER = 9  # digits: what every database holds in an integer


def store_report(session: Session, project_id: int, kind: Kind, document: BaseModel, *, now: dt.datetime) -> int:
    """Write a document down.

    Returns:
        Its number, counted from 1 within the project and kind.
    """
    last = session.exec(
        select(func.max(StoredReport.number)).where(StoredReport.project_id == project_id, StoredReport.kind == kind)
    ).one()
    row = StoredReport(
        project_id=project_id,
        kind=kind,
        number=(last or 0) + 1,
        made_at=now,
        document=document.model_dump(mode="json"),
    )
    session.add(row)
    session.flush()
    return row.number


def list_reports(
    session: Session, project_id: int, kind: Kind, *, before: int | None = None, limit: int = 1
) -> list[StoredReport]:
    """Read the newest documents of a kind, newest first, optionally those before a number."""
    wanted = select(StoredReport).where(StoredReport.project_id == project_id, StoredReport.kind == kind)
    if before is not None:
        wanted = wanted.where(StoredReport.number < before)
    return list(session.exec(wanted.order_by(col(StoredReport.number).desc()).limit(limit)))


def readable(rows: Iterable[StoredReport], model: type[Document]) -> list[tuple[StoredReport, Document]]:
    """Read documents; those that another version of the service wrote with other fields are left out."""
    found = []
    for row in rows:
        try:
            found.append((row, model.model_validate(row.document)))
        except ValidationError:
            continue
    return found


def page_of_reports(
    session: Session, project_id: int, kind: Kind, model: type[Document], *, before: int | None, limit: int
) -> tuple[list[tuple[StoredReport, Document]], int | None]:
    """Read one page of documents, newest first.

    Returns:
        Those of the page that can be read, and the number before which the next page begins; None after the last one.
    """
    rows = list_reports(session, project_id, kind, before=before, limit=limit + 1)
    page = rows[:limit]
    return readable(page, model), page[-1].number if len(rows) > limit else None


def get_report(
    session: Session, project_id: int, kind: Kind, number: int, model: type[Document]
) -> tuple[StoredReport, Document]:
    """Read one document.

    Raises:
        NotFoundError: There is none of this number, or none that this version of the service can read.
    """
    row = session.exec(
        select(StoredReport).where(
            StoredReport.project_id == project_id, StoredReport.kind == kind, StoredReport.number == number
        )
    ).first()
    if row is None:
        newest = list_reports(session, project_id, kind)
        known = f"they are numbered 1 to {newest[0].number}" if newest else "none was made yet"
        raise NotFoundError(f"There is no report of this number: {known}.")
    found = readable([row], model)
    if not found:
        raise NotFoundError("Another version of the service made this report, with fields that this one cannot read.")
    return found[0]


def report_number(text: str) -> int:
    """Read a number from an address.

    Raises:
        NotFoundError: It is none, so nothing has it.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise NotFoundError("Reports are numbered 1, 2, 3, …: nothing has this number.")
    return int(text)
