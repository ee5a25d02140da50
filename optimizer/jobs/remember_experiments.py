"""Lets experiments that have ended and matured enter the history that proxies are judged by."""

from __future__ import annotations

from typing import Any

from optimizer.experiments.remember import remember_finished
from optimizer.jobs.schedule import Job, JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Remember what is due; what waits is looked at again."""
    return remember_finished(context.stores, now=context.now, stopping=context.stopping)


JOB = Job("remember_experiments", "37 * * * *", run)
