"""The composition root: the only place that knows every part.

`open_stores` prepares the data folder (lock-free; the command line holds the lock), `create_app` puts the parts
together, `close_app` takes them apart in the order that loses nothing.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from apiflask import APIBlueprint, APIFlask
from flask import g, request
from flask.typing import ResponseReturnValue
from msgspec import Raw
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response

import optimizer.api
import optimizer.jobs
from optimizer.api import _bodies, _cors, _documentation, _metrics, _problems
from optimizer.api._context import EXTENSION, Services, services
from optimizer.api._routes import ReadRule
from optimizer.catalog.keys import OpenedKeys, ensure_bootstrap_key
from optimizer.catalog.projects import ensure_default_project, find_project
from optimizer.catalog.sites import Sites
from optimizer.discovery import discover_modules
from optimizer.errors import (
    ConfigurationError,
    InvalidInputError,
    NotFoundError,
    OptimizerError,
    UnreadableInputError,
)
from optimizer.experiments.doubts import Doubts
from optimizer.experiments.flags import Flags
from optimizer.experiments.stickiness import Assigning, Stickiness
from optimizer.ingest.catalog_views import CatalogViews
from optimizer.ingest.collector import Collector
from optimizer.ingest.event import BatchAnswer
from optimizer.ingest.identity import CookielessIdentity
from optimizer.ingest.quality import RejectionTally
from optimizer.ingest.service import Ingest, Origin
from optimizer.jobs.schedule import Schedule
from optimizer.settings import Settings
from optimizer.storage.cipher import Cipher, prove_key, secret_from_data_dir
from optimizer.storage.control import ControlStore
from optimizer.storage.migrate import upgrade
from optimizer.storage.open import open_event_store
from optimizer.storage.stores import Stores
from optimizer.storage.tables.base import utc_now
from optimizer.web import presenter

VERSION = "0.1.0"
DRAIN_SECONDS = 25.0
LONGEST_KEYS = {"key": 100, "name": 200}  # as the tables hold them
log = structlog.get_logger(__name__)


def prepare_control(settings: Settings) -> tuple[ControlStore, Cipher, bool]:
    """Open and migrate the control plane, prove the secret key, make the first project and the bootstrap key.

    Returns:
        The store, the cipher, and whether the secret key was generated just now.

    Raises:
        ConfigurationError: Something is wrong with the settings or the data folder; says what to do.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        secret, made = (
            (settings.secret_key.get_secret_value(), False)
            if settings.secret_key
            else secret_from_data_dir(settings.data_dir)
        )
    except OSError as error:
        raise ConfigurationError(f"The data folder {settings.data_dir} cannot be used: {error.strerror}.") from None
    cipher = Cipher(secret)
    control = ControlStore(settings.control_url)
    upgrade(control)
    prove_key(control, cipher)
    with control.session() as session:
        project = ensure_default_project(session)
        if settings.bootstrap_key and project.id is not None:
            ensure_bootstrap_key(session, project.id, settings.bootstrap_key.get_secret_value(), now=utc_now())
    return control, cipher, made


def open_stores(settings: Settings) -> Stores:
    """Open both stores, ready for use.

    Raises:
        ConfigurationError: See `prepare_control`; or another process holds the event store.
    """
    control, cipher, _ = prepare_control(settings)
    events = open_event_store(settings.event_store_url, duckdb_memory_mb=settings.duckdb_memory_mb)
    return Stores(control, events, cipher)


@contextmanager
def open_ingest(
    settings: Settings, project: str, system: str | None = None
) -> Iterator[Callable[[Sequence[Raw]], BatchAnswer]]:
    """Open the ingest pipeline without a web service, for imports; everything taken is on disk when it answers.

    Args:
        settings: Frozen settings.
        project: Key of the project.
        system: Take daily counts of this tool instead of events.

    Raises:
        NotFoundError: There is no such project.
        ConfigurationError: See `open_stores`.
    """
    stores = open_stores(settings)
    collector, ingest, _ = _pipeline(settings, stores)
    try:
        with stores.control.reading() as session:
            project_id = find_project(session, project).id or 0
        if system is None:
            yield lambda items: ingest.take_events(project_id, items, Origin(utc_now()))
        else:
            yield lambda items: ingest.take_counts(project_id, system, items, Origin(utc_now()))
    finally:
        collector.close()
        ingest.tally.flush()
        stores.events.close()
        stores.control.close()


def load_parts() -> None:
    """Import every route and job, so that workers that are forked afterwards share them and are ready soon."""
    _bodies.install()  # before the routes, whose decorators take what is there
    for package in (optimizer.api, optimizer.jobs):
        for _ in discover_modules(package.__name__):
            pass


def create_app(
    settings: Settings, stores: Stores | None = None, *, clock: Callable[[], dt.datetime] = utc_now
) -> APIFlask:
    """Put the application together.

    Args:
        settings: Frozen settings.
        stores: Open stores; by default those that the settings name.
        clock: The current time, aware UTC.
    """
    stores = stores or open_stores(settings)
    _, ingest, assigning = _pipeline(settings, stores)
    schedule = Schedule(stores, settings, clock)
    app = APIFlask(
        "optimizer",
        title="optimizer",
        version=VERSION,
        docs_path=None,
        json_errors=False,
        static_folder=None,  # type: ignore[arg-type] # Flask takes None for "no static files"; APIFlask's hint does not
    )
    app.url_rule_class = ReadRule
    keys, sites = OpenedKeys(stores.control), Sites(stores.control)
    app.extensions[EXTENSION] = Services(
        settings, stores, ingest, keys, sites, assigning, clock, schedule, threading.Event(), presenter
    )
    load_parts()
    _problems.install(app)
    _documentation.install(app)
    _metrics.install(app)
    _cors.install(app)
    app.before_request(_begin)
    app.after_request(_end)
    for module in discover_modules(optimizer.api.__name__):
        blueprint = getattr(module, "blueprint", None)
        if isinstance(blueprint, APIBlueprint):
            app.register_blueprint(blueprint)
    for kind in stores.events.unreachable:
        app.register_error_handler(kind, _problems.unreachable)
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=settings.proxies)  # type: ignore[method-assign]
    if settings.scheduler:
        schedule.start()
    return app


def _pipeline(settings: Settings, stores: Stores) -> tuple[Collector, Ingest, Assigning]:
    flags = Flags(stores.control)
    collector = Collector(stores, queue_rows=settings.queue_events, timeout_seconds=settings.commit_timeout_seconds)
    cookieless = CookielessIdentity(stores.control, stores.cipher)
    assigning = Assigning(flags, Stickiness(stores.control, flags))
    views, tally = CatalogViews(stores.control), RejectionTally(stores.control)
    ingest = Ingest(collector, views, cookieless, tally, Doubts(flags).about, assigning.stickiness.witness)
    return collector, ingest, assigning


def close_app(app: APIFlask) -> None:
    """Stop the schedule, write out every acknowledged event, close the stores."""
    parts: Services = app.extensions[EXTENSION]
    parts.stopping.set()
    parts.schedule.stop(DRAIN_SECONDS)
    parts.ingest.collector.close()
    parts.ingest.tally.flush()
    parts.stores.events.close()
    parts.stores.control.close()
    log.info("closed")


def _begin() -> ResponseReturnValue | None:
    structlog.contextvars.clear_contextvars()
    g.request_id = f"{random.getrandbits(128):032x}"  # tells log lines apart, guards nothing
    structlog.contextvars.bind_contextvars(request_id=g.request_id, method=request.method, path=request.path)
    if request.path.startswith("/ofrep/"):
        return None  # answers in its own terms, and looks names up in memory alone
    if "\x00" in request.path or (request.query_string and any("\x00" in value for value in request.args.values())):
        raise UnreadableInputError("The address holds the character U+0000, which no text takes.")
    for name, value in (request.view_args or {}).items():
        if len(str(value)) > LONGEST_KEYS.get(name, 200) and not request.path.startswith("/docs/"):
            raise _too_long(name)
    return None


def _too_long(name: str) -> OptimizerError:
    if request.method == "PUT":
        return InvalidInputError.at(
            f"/path/{name}", "too_long", f"Use up to {LONGEST_KEYS.get(name, 200)} characters."
        )
    return NotFoundError("Nothing has a key of this length.")


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.path.startswith("/v1/"):
        response.headers.setdefault("Cache-Control", "no-store")
    log.debug("answered", status=response.status_code, started=services().clock().isoformat())
    return response
