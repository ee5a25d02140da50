"""Runs every job once per slot, however many processes compute the same slot.

APScheduler only rings: every trigger is a cron expression, so all processes ring for the same slot. Who rings first
claims the slot with one conditional UPDATE of the job's one row (`claim.py`), runs, and records the run. Nothing is
shared but that row, so there is no leader to elect and nothing to lose when a process dies.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

import optimizer.jobs
from optimizer.discovery import discover_modules
from optimizer.errors import BusyError, NotFoundError
from optimizer.jobs.claim import HEARTBEAT_SECONDS, beat, claim, finish
from optimizer.settings import Settings
from optimizer.storage.stores import Stores
from optimizer.storage.tables import JobRun

MISFIRE_GRACE_SECONDS = 300
RUN_NOW_WAIT_SECONDS = 60.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job is handed.

    Attributes:
        stores: Both stores and the cipher.
        settings: The settings of this process.
        now: When the run started, aware UTC.
        stopping: Set when the process wants to end: finish the item at hand and return.
        only: What a person asked for, in the job's own terms (a project's id, a segment's); None is everything due.
    """

    stores: Stores
    settings: Settings
    now: dt.datetime
    stopping: threading.Event
    only: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One scheduled job.

    Attributes:
        name: Stable identifier.
        cron: Five-field cron expression, UTC.
        run: Does what is pending and returns a summary of numbers.
    """

    name: str
    cron: str
    run: Callable[[JobContext], dict[str, Any]]


def discover_jobs() -> dict[str, Job]:
    """Find every module of this room that holds a `JOB`."""
    found = (getattr(module, "JOB", None) for module in discover_modules(optimizer.jobs.__name__))
    return {job.name: job for job in found if isinstance(job, Job)}


class Schedule:
    """The jobs of this process.

    Args:
        stores: What jobs work on.
        settings: Handed to jobs.
        clock: The current time, aware UTC.
        jobs: By default every job of this room.
    """

    def __init__(
        self, stores: Stores, settings: Settings, clock: Callable[[], dt.datetime], jobs: dict[str, Job] | None = None
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._clock = clock
        self.jobs = discover_jobs() if jobs is None else jobs
        self._scheduler = BackgroundScheduler(timezone=dt.UTC)
        self._stopping = threading.Event()
        self._running: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Ring for every job from now on."""
        for job in self.jobs.values():
            trigger = CronTrigger.from_crontab(job.cron, timezone=dt.UTC)
            self._scheduler.add_job(
                self._ring,
                trigger,
                args=[job],
                id=job.name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=MISFIRE_GRACE_SECONDS,
            )
        self._scheduler.start()

    def stop(self, timeout: float) -> None:
        """Let running jobs finish their item; release those that do not within `timeout` seconds."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        with self._lock:
            running = dict(self._running)
        for run_id, thread in running.items():
            thread.join(timeout)
            if thread.is_alive():
                finish(self._stores.control, run_id, "released", {}, None, now=self._clock())

    def run_slot(self, job: Job, slot: dt.datetime, only: int | None = None) -> JobRun | None:
        """Claim a slot and run the job; None when another process has the slot or a run is under way."""
        run_id = claim(self._stores.control, job.name, slot, now=self._clock())
        return None if run_id is None else self._run(job, run_id, only)

    def run_now(self, name: str, *, now: dt.datetime, only: int | None = None) -> JobRun:
        """Wait for a run under way, then run.

        Args:
            name: The job.
            now: When.
            only: See `JobContext`.

        Raises:
            NotFoundError: There is no such job.
            BusyError: A run under way did not end within a minute.
        """
        job = self.jobs.get(name)
        if job is None:
            raise NotFoundError(f"There is no job {name}. Known are: {', '.join(sorted(self.jobs))}.")
        waited = 0.0
        while waited <= RUN_NOW_WAIT_SECONDS:
            run = self.run_slot(job, now + dt.timedelta(microseconds=int(waited * 10)), only)
            if run is not None:
                return run
            self._stopping.wait(0.1)
            waited += 0.1
        raise BusyError(f"A run of {name} is under way and did not end in time. Try again.", retry_after_seconds=30)

    def _ring(self, job: Job) -> None:
        # The slot is the minute that rang: every process computes the same one.
        self.run_slot(job, self._clock().replace(second=0, microsecond=0))

    def _run(self, job: Job, run_id: int, only: int | None = None) -> JobRun:
        with self._lock:
            self._running[run_id] = threading.current_thread()
        ended = threading.Event()
        pulse = threading.Thread(target=self._pulse, args=(job.name, run_id, ended), daemon=True)
        pulse.start()
        status, summary, error = "ok", {}, None
        try:
            with structlog.contextvars.bound_contextvars(job=job.name, run_id=run_id):
                summary = job.run(JobContext(self._stores, self._settings, self._clock(), self._stopping, only))
                log.info("job_finished", **summary)
        except Exception as failure:  # noqa: BLE001 - one job's failure is recorded and must not stop the others
            status, error = "failed", f"{type(failure).__name__}: {getattr(failure, 'detail', 'see the log')}"
            log.error("job_failed", job=job.name, run_id=run_id, kind=type(failure).__name__)  # noqa: TRY400 - a traceback may quote data
        finally:
            ended.set()
            pulse.join()
            with self._lock:
                self._running.pop(run_id, None)
        return finish(self._stores.control, run_id, status, summary, error, now=self._clock())

    def _pulse(self, job: str, run_id: int, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            beat(self._stores.control, job, run_id, now=self._clock())
