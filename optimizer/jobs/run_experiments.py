"""Starts and stops experiments at the times their designs name."""

from __future__ import annotations

from typing import Any

from optimizer.experiments.lifecycle import run_schedule
from optimizer.jobs.schedule import Job, JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Start and stop what is due."""
    return run_schedule(context.stores.control, now=context.now)


JOB = Job("run_experiments", "* * * * *", run)
