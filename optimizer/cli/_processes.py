"""Other `optimizer` commands as child processes, for the demo: started on a free port, ended with their parent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import requests

START_SECONDS = 60.0
STOP_SECONDS = 45.0


@contextmanager
def running(command: str, ready_path: str, log: Path, *options: str, **environment: str) -> Iterator[str]:
    """Run `optimizer <command>` until the block ends.

    Args:
        command: ``serve`` or ``sandbox``.
        ready_path: Answers 200 once the process can work.
        log: File for what it prints.
        options: Further options.
        environment: Further environment variables.

    Yields:
        Its URL.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = [sys.executable, "-m", "optimizer.cli.main", command, "--port", str(port), *options]
    settings: Mapping[str, str] = {**os.environ, **environment}
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=settings)  # noqa: S603 - our own command
        try:
            _wait(process, url + ready_path, command, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], url: str, command: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise click.ClickException(f"`optimizer {command}` ended at once; {log} says why.")
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise click.ClickException(f"`optimizer {command}` was not ready within {START_SECONDS:g} s; see {log}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
