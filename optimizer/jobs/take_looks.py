"""Takes every running experiment's look soon after its cut-off, so that the grid does not depend on readers."""

from __future__ import annotations

from typing import Any

import structlog
from sqlmodel import col, select

from optimizer.errors import OptimizerError
from optimizer.experiments.results import read_result
from optimizer.jobs.schedule import Job, JobContext
from optimizer.storage.tables import Experiment

log = structlog.get_logger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Take the looks that are due; those that are stored stay as they are."""
    with context.stores.control.reading() as session:
        due = session.exec(select(Experiment).where(col(Experiment.status).in_(["running", "stopped"]))).all()
    failed = []
    for experiment in due:
        if context.stopping.is_set():
            break
        try:
            read_result(context.stores, experiment.project_id, experiment.key, now=context.now)
        except OptimizerError as error:
            failed.append(experiment.id)
            log.warning("look_failed", experiment_id=experiment.id, kind=type(error).__name__)
    return {"experiments": len(due), "failed": failed}


JOB = Job("take_looks", "7 * * * *", run)
