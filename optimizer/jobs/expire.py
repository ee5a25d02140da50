"""Deletes what has outlived its purpose: match data after 90 days, job runs after 30, cookieless salts after 48 h."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlmodel import col, delete

from optimizer.ingest.identity import delete_old_salts
from optimizer.ingest.match_data import delete_expired
from optimizer.ingest.quality import delete_old_rejections
from optimizer.jobs.schedule import Job, JobContext
from optimizer.storage.tables import JobRun

RUNS_KEPT = dt.timedelta(days=30)


def run(context: JobContext) -> dict[str, Any]:
    """Delete what has expired."""
    with context.stores.control.session() as session:
        salts = delete_old_salts(session, today=context.now.astimezone(dt.UTC).date())
        matches = delete_expired(session, now=context.now)
        rejections = delete_old_rejections(session, now=context.now)
        old = col(JobRun.finished_at) < context.now - RUNS_KEPT
        runs = session.exec(delete(JobRun).where(old)).rowcount
    return {"cookieless_salts": salts, "match_data": matches, "job_runs": runs, "rejections": rejections}


JOB = Job("expire", "0 * * * *", run)  # on the hour, so that no salt outlives its 48 hours
