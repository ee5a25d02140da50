"""Prometheus figures of this process: requests by route and status, their duration, and the ingest queue."""

from __future__ import annotations

import time

from apiflask import APIFlask
from flask import Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from optimizer.api._context import services


def install(app: APIFlask) -> None:
    """Measure every request of this application and answer `/metrics`."""
    registry = CollectorRegistry()
    requests = Counter("optimizer_requests_total", "Requests", ["route", "method", "status"], registry=registry)
    seconds = Histogram("optimizer_request_seconds", "Duration of requests", ["route"], registry=registry)
    waiting = Gauge("optimizer_ingest_waiting_rows", "Rows that wait for the disk", registry=registry)

    def begin() -> None:
        g.begun = time.perf_counter()

    def end(response: Response) -> Response:
        route = str(request.url_rule) if request.url_rule else "unmatched"
        requests.labels(route, request.method, response.status_code).inc()
        seconds.labels(route).observe(time.perf_counter() - g.get("begun", time.perf_counter()))
        return response

    def metrics() -> Response:
        waiting.set(services().ingest.collector.waiting_rows)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    app.before_request(begin)
    app.after_request(end)
    app.add_url_rule("/metrics", "metrics", app.doc(hide=True)(metrics))
