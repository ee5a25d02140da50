"""The sandbox: a real HTTP server in a process of its own, with one face per platform.

`POST /_sandbox/faults` orders what goes wrong next, `GET /_sandbox/received` shows what each platform counted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import BadRequest
from werkzeug.serving import WSGIRequestHandler, make_server

import optimizer.sandbox.faces
from optimizer.discovery import discover_modules
from optimizer.sandbox.store import Memory, Refused

FAULTS = ("server_error", "throttle", "bad_token", "timeout", "cut", "cut_after", "hang_after", "garbage")
LONGEST_PAUSE_SECONDS = 120.0


def create_sandbox() -> Flask:
    """Put the sandbox together."""
    app = Flask("optimizer-sandbox")
    app.extensions["memory"] = Memory()
    for module in discover_modules(optimizer.sandbox.faces.__name__):
        app.register_blueprint(module.face)
    app.register_error_handler(Refused, _on_refused)
    app.before_request(_play_fault)
    app.after_request(_spoil_answer)
    app.add_url_rule("/_sandbox", "page", _page)
    app.add_url_rule("/_sandbox/received", "received", _received)
    app.add_url_rule("/_sandbox/arrived", "arrived", _wait_for_arrival)
    app.add_url_rule("/_sandbox/faults", "faults", _order_faults, methods=["POST"])
    app.add_url_rule("/_sandbox", "forget", _forget, methods=["DELETE"])
    return app


def serve(host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until the process is ended.

    Args:
        host: Address to listen on.
        port: Port; 0 picks a free one.
        announce: Told the URL once it answers.
    """
    server = make_server(host, port, create_sandbox(), threaded=True, request_handler=_QuietHandler)
    announce(f"http://{host}:{server.server_port}")
    server.serve_forever()


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: requests carry hashes of persons."""


def _on_refused(refused: Refused) -> tuple[Response, int]:
    return jsonify(refused.body), refused.status


def _memory() -> Memory:
    memory: Memory = current_app.extensions["memory"]
    return memory


def _play_fault() -> Response | tuple[Response, int] | None:
    if request.path.startswith("/_sandbox"):
        return None
    fault = _memory().next_fault()
    if fault is None or fault["kind"].endswith("_after"):
        request.environ["sandbox.fault"] = fault
        return None
    return _faulty(fault)


def _faulty(fault: dict[str, Any]) -> Response | tuple[Response, int]:
    kind = fault["kind"]
    if kind == "timeout":
        _pause(fault)
    if kind == "cut":
        _cut()
    if kind == "throttle":
        throttled = jsonify(error={"code": 4, "status": "RESOURCE_EXHAUSTED"})
        throttled.headers["Retry-After"] = str(fault.get("seconds", 30))
        return throttled, 429
    if kind == "bad_token":
        return jsonify(error={"code": 190, "status": "UNAUTHENTICATED"}), 401
    if kind == "garbage":
        return Response("<html>not what you expected", 200, mimetype="text/html")
    return jsonify(error={"code": 2, "status": "INTERNAL"}), 500


def _spoil_answer(response: Response) -> Response:
    # The events were taken; only the answer gets lost or comes too late.
    fault = request.environ.get("sandbox.fault")
    if fault and fault["kind"] == "cut_after":
        _cut()
    if fault and fault["kind"] == "hang_after":
        _pause(fault)
    return response


def _pause(fault: dict[str, Any]) -> None:
    time.sleep(min(LONGEST_PAUSE_SECONDS, float(fault.get("seconds", 60))))


def _cut() -> None:
    connection: socket.socket | None = request.environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)


def _received() -> Response:
    platform = request.args.get("platform")
    with _memory().lock:
        found = [item for item in _memory().received.values() if platform in (None, item.platform)]
        shown = [{"platform": i.platform, "key": i.key, "times": i.times, "item": i.item} for i in found]
    return jsonify(data=shown)


def _wait_for_arrival() -> tuple[Response, int]:
    arrived = _memory().arrived.wait(LONGEST_PAUSE_SECONDS)
    return jsonify(arrived=arrived), 200 if arrived else 504


def _order_faults() -> tuple[Response, int]:
    ordered = request.get_json()
    if not isinstance(ordered, list) or any(fault.get("kind") not in FAULTS for fault in ordered):
        raise BadRequest(f"Send a list of objects whose kind is one of {', '.join(FAULTS)}.")
    with _memory().lock:
        _memory().faults.extend(ordered)
    return jsonify(waiting=len(_memory().faults)), 201


def _forget() -> tuple[str, int]:
    with _memory().lock:
        _memory().received.clear()
        _memory().faults.clear()
        _memory().arrived.clear()
    return "", 204


def _page() -> str:
    with _memory().lock:
        counts: dict[str, int] = {}
        for item in _memory().received.values():
            counts[item.platform] = counts.get(item.platform, 0) + 1
    rows = "".join(f"<tr><td>{platform}</td><td>{count}</td></tr>" for platform, count in sorted(counts.items()))
    return f"<!doctype html><title>Sandbox</title><h1>What the platforms counted</h1><table>{rows}</table>"
