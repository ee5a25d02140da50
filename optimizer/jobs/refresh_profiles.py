"""Keeps what every unit did lately ready for whoever builds the next page for it."""

from __future__ import annotations

from typing import Any

from sqlmodel import select

from optimizer.jobs._projects import for_each
from optimizer.jobs.schedule import Job, JobContext
from optimizer.segments.profiles import refresh_profiles
from optimizer.storage.tables import Project


def run(context: JobContext) -> dict[str, Any]:
    """Refresh every project's profiles, or those of the one that was asked for."""
    with context.stores.control.reading() as session:
        projects = [one for one in session.exec(select(Project.id)) if one is not None]
    asked = projects if context.only is None else [one for one in projects if one == context.only]

    def refresh(project_id: int) -> dict[str, int]:
        return refresh_profiles(context.stores, project_id, now=context.now, stopping=context.stopping)

    return for_each(context, asked, refresh)


JOB = Job("refresh_profiles", "* * * * *", run)
