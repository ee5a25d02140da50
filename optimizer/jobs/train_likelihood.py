"""Learns every project's likelihood model anew once a week, so that a season's habits do not outlive it."""

from __future__ import annotations

from typing import Any

from sqlmodel import select

from optimizer.jobs._projects import for_each
from optimizer.jobs.schedule import Job, JobContext
from optimizer.signals.cohorts import goal_known
from optimizer.signals.likelihood_versions import is_due, train_version, wanted_again
from optimizer.storage.tables import Project


def run(context: JobContext) -> dict[str, Any]:
    """Train the projects whose newest card is a week old and that have a goal."""
    with context.stores.control.reading() as session:
        projects = [project for project in session.exec(select(Project.id)) if project is not None]
        due = [project for project in projects if is_due(session, project, now=context.now)]
        wanted = {project: request for project in due if (request := wanted_again(session, project))}

    def learn(project_id: int) -> str:
        request = wanted[project_id]
        if not goal_known(context.stores.events, project_id, request.goal or ""):  # ahead of its launch: no card yet
            return "goal never sent"
        return train_version(context.stores, project_id, request, now=context.now).status

    return for_each(context, wanted, learn)


JOB = Job("train_likelihood", "37 4 * * *", run)
