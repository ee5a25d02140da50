"""Keeps what every unit did lately ready for whoever builds the next page for it."""

from __future__ import annotations

from typing import Any

from optimizer.jobs._projects import for_each
from optimizer.jobs.schedule import Job, JobContext
from optimizer.segments.profiles import asked_lately, forget_unasked, refresh_profiles


def run(context: JobContext) -> dict[str, Any]:
    """Refresh the profiles of projects in which somebody asks for them, or those of the one that was named."""
    with context.stores.control.session() as session:
        unasked = forget_unasked(session, now=context.now)
        projects = asked_lately(session, now=context.now) if context.only is None else [context.only]

    def refresh(project_id: int) -> dict[str, int]:
        return refresh_profiles(context.stores, project_id, now=context.now, stopping=context.stopping)

    return {**for_each(context, projects, refresh), "unasked": unasked}


JOB = Job("refresh_profiles", "* * * * *", run)
