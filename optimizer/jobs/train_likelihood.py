"""Learns every project's likelihood model anew once a week, so that a season's habits do not outlive it."""

from __future__ import annotations

from typing import Any

from sqlmodel import select

from optimizer.errors import NotFoundError
from optimizer.jobs._projects import for_each
from optimizer.jobs.schedule import Job, JobContext
from optimizer.signals.goal import default_goal
from optimizer.signals.likelihood_versions import is_due, train_version, wanted_again
from optimizer.signals.reports import list_reports
from optimizer.storage.tables import Project


def run(context: JobContext) -> dict[str, Any]:
    """Train the projects whose newest card is a week old and that have a goal."""
    with context.stores.control.reading() as session:
        projects = [project for project in session.exec(select(Project.id)) if project is not None]
        due = [
            (project, wanted_again(session, project))
            for project in projects
            if is_due(session, project, now=context.now)
            and (list_reports(session, project, "likelihood_model") or default_goal(session, project))
        ]
    wanted = dict(due)

    def learn(project_id: int) -> str:
        try:
            return train_version(context.stores, project_id, wanted[project_id], now=context.now).status
        except NotFoundError:  # catalogued ahead of its launch: nothing is wrong
            return "goal never sent"

    return for_each(context, wanted, learn)


JOB = Job("train_likelihood", "37 4 * * *", run)
