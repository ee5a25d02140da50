"""Computes the members of every segment again, each as often as it asks for."""

from __future__ import annotations

from typing import Any

import structlog

from optimizer.jobs.schedule import Job, JobContext
from optimizer.segments.refresh import due_segments, refresh
from optimizer.storage.tables import Segment

log = structlog.get_logger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Refresh the segments that are due, or the one that was asked for."""
    with context.stores.control.reading() as session:
        asked = session.get(Segment, context.only) if context.only is not None else None
        due = [asked] if asked is not None else due_segments(session, now=context.now)
    done: dict[str, dict[str, int]] = {}
    failed = []
    for segment in due:
        if context.stopping.is_set():
            break
        try:
            done[str(segment.id)] = refresh(context.stores, segment, now=context.now)
        except Exception as failure:
            if context.only is not None:
                raise
            # One segment's trouble must not hold up the others; it is recorded with the run and tried again.
            failed.append(segment.id)
            log.error("segment_failed", segment_id=segment.id, kind=type(failure).__name__)  # noqa: TRY400 - a traceback may quote data
    return {"segments": done, "failed": failed}


JOB = Job("refresh_segments", "* * * * *", run)
