"""Does one piece of work for every project that is due, so that one project's trouble does not hold up the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import structlog

from optimizer.jobs.schedule import JobContext

log = structlog.get_logger(__name__)


def for_each(context: JobContext, projects: Iterable[int], work: Callable[[int], Any]) -> dict[str, Any]:
    """Work on each project until asked to stop.

    Args:
        context: Of the run.
        projects: Ids of those that are due.
        work: What to do; what it returns goes into the run's record.

    Returns:
        What was done by project, and which failed: those are tried again when the job rings next.
    """
    done: dict[str, Any] = {}
    failed: list[int] = []
    for project_id in projects:
        if context.stopping.is_set():
            break
        try:
            done[str(project_id)] = work(project_id)
        except Exception as failure:
            if context.only is not None:
                raise
            failed.append(project_id)
            log.error("project_failed", project_id=project_id, kind=type(failure).__name__)  # noqa: TRY400 - a traceback may quote data
    return {"projects": done, "failed": failed}
