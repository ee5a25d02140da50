"""What a view may reach: the services of the running application and the caller's project."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from flask import current_app, g
from sqlmodel import Session

from optimizer.catalog.keys import OpenedKeys
from optimizer.catalog.sites import Sites
from optimizer.experiments.planning.shapes import PlannedTest
from optimizer.experiments.report import Report
from optimizer.experiments.stickiness import Assigning
from optimizer.ingest.service import Ingest
from optimizer.settings import Settings
from optimizer.signals.answers import SignalsAnswer
from optimizer.signals.likelihood import ModelCard
from optimizer.signals.proxy_shapes import EffectsAnswer
from optimizer.signals.value_shapes import ValueTable
from optimizer.storage.stores import Stores
from optimizer.storage.tables import JobRun, Project

EXTENSION = "optimizer"


class JobRunner(Protocol):
    """What views need of the schedule (jobs are this layer's siblings, so only the shape is known here)."""

    def run_now(self, name: str, *, now: dt.datetime, only: int | None = None) -> JobRun:
        """Wait for a run under way, then run the job (for one project or segment only) and return its record."""

    def stop(self, timeout: float) -> None:
        """Let running jobs finish, or release them after `timeout` seconds."""


class Presenter(Protocol):
    """What views need to show answers as pictures and pages (the web room is this layer's sibling)."""

    def report_page(self, report: Report) -> str:
        """Write a report as one HTML file that needs no other."""

    def report_picture(self, report: Report, form: Literal["svg", "png", "vega"]) -> bytes:
        """Draw a report's figures."""

    def plan_picture(self, planned: PlannedTest, form: Literal["svg", "png", "vega"]) -> bytes:
        """Draw a plan."""

    def effects_picture(self, found: EffectsAnswer, form: Literal["svg", "png", "vega"]) -> bytes:
        """Draw past effects of a proxy against the goal's."""

    def calibration_picture(self, card: ModelCard, form: Literal["svg", "png", "vega"]) -> bytes:
        """Draw what a model predicted against what happened."""

    def value_picture(self, table: ValueTable, form: Literal["svg", "png", "vega"]) -> bytes:
        """Draw what was told of journeys against what they brought, week by week."""

    def signals_picture(
        self, answer: SignalsAnswer, picture: Literal["lift", "calibration"], form: Literal["svg", "png", "vega"]
    ) -> bytes:
        """Draw a ranking: its lifts, or its values against those of held-out weeks."""


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that the composition root put together.

    Attributes:
        settings: The frozen settings of this process.
        stores: Control plane, event plane and cipher.
        ingest: The pipeline that every wire format ends in.
        keys: What trackers' keys open.
        sites: What trackers without a key may send to.
        assigning: Experiments as evaluation sees them, and what units saw first.
        clock: The current time, aware UTC; tests inject their own.
        schedule: Runs jobs on their slots and on request.
        stopping: Set when answers that go on for long must end.
        presenter: Makes pictures and pages.
    """

    settings: Settings
    stores: Stores
    ingest: Ingest
    keys: OpenedKeys
    sites: Sites
    assigning: Assigning
    clock: Callable[[], dt.datetime]
    schedule: JobRunner
    stopping: threading.Event
    presenter: Presenter


def services() -> Services:
    """Return the services of the running application."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def project() -> Project:
    """Return the project that the request's key opens (set by `requires`)."""
    found: Project = g.project
    return found


def project_id() -> int:
    """Return the id of the project that the request's key opens."""
    found = project().id
    assert found is not None  # noqa: S101 - a stored project has an id
    return found


def actor() -> str:
    """Return the prefix of the request's key: who acts, without saying which key it is."""
    prefix: str = g.key_prefix
    return prefix


@contextmanager
def changing_flags() -> Iterator[Session]:
    """One transaction that may change who gets what: evaluations in this process see it at once."""
    with services().stores.control.session() as session:
        yield session
    services().assigning.flags.forget(project_id())


def now() -> dt.datetime:
    """Return the current time, aware UTC."""
    return services().clock()
