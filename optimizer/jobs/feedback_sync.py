"""Sends what the rules of every project have gathered, each project on its own schedule."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import structlog
from apscheduler.triggers.cron import CronTrigger
from sqlmodel import select

from optimizer.feedback.policy import maintain_rules
from optimizer.feedback.sync import synchronise
from optimizer.feedback.values import current_values
from optimizer.jobs.schedule import Job, JobContext
from optimizer.storage.stores import Stores
from optimizer.storage.tables import FeedbackCursor, FeedbackPolicy, Project

DEFAULT_SCHEDULE = "*/15 * * * *"
log = structlog.get_logger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Synchronise every project whose schedule has come round, or the one that was asked for."""
    due = [context.only] if context.only is not None else _due(context.stores, context.now)
    done, failed = {}, {}
    for project_id in due:
        if context.stopping.is_set():
            break
        try:
            done[str(project_id)] = _synchronise(context, project_id)
        except Exception as failure:
            if context.only is not None:
                raise
            # One project's trouble must not hold up the others; it is recorded with the run and tried again.
            failed[str(project_id)] = type(failure).__name__
            log.error("project_failed", project_id=project_id, kind=type(failure).__name__)  # noqa: TRY400 - a traceback may quote data
    return {"projects": done, "failed": failed}


def _synchronise(context: JobContext, project_id: int) -> dict[str, Any]:
    stores, now = context.stores, context.now
    maintain_rules(stores, project_id, now=now)
    values = current_values(stores, project_id, now=now)
    rng = random.Random()  # noqa: S311 - jitter only
    answer = synchronise(stores, project_id, values, now=now, rng=rng, stopping=context.stopping)
    with stores.control.session() as session:
        cursor = session.get(FeedbackCursor, project_id) or FeedbackCursor(project_id=project_id)
        cursor.synchronised_at = now
        session.add(cursor)
    return answer.model_dump(mode="json")


def _due(stores: Stores, now: dt.datetime) -> list[int]:
    with stores.control.reading() as session:
        schedules = {row.project_id: row.schedule for row in session.exec(select(FeedbackPolicy))}
        last = {row.project_id: row.synchronised_at for row in session.exec(select(FeedbackCursor))}
        projects = [project for project in session.exec(select(Project.id)) if project is not None]
    return [p for p in projects if _rang(schedules.get(p, DEFAULT_SCHEDULE), last.get(p), now)]


def _rang(schedule: str, last: dt.datetime | None, now: dt.datetime) -> bool:
    if last is None:
        return True
    following = CronTrigger.from_crontab(schedule, timezone=dt.UTC).get_next_fire_time(last, last)
    return following is not None and following <= now


JOB = Job("feedback_sync", "* * * * *", run)
