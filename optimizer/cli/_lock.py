"""One data folder, one service: an advisory lock that names its holder and dies with it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optimizer.errors import ConfigurationError


@contextmanager
def data_folder_lock(data_dir: Path, url: str) -> Iterator[None]:
    """Hold the folder while the block runs; forked children keep holding it until they end.

    Raises:
        ConfigurationError: Another process holds it; names that process and its URL.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "service.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"The data folder {data_dir} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise ConfigurationError(
            f"The data folder {data_dir} is in use by {holder}. Talk to that one over HTTP, stop it, "
            "or choose another folder with --data-dir."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
    try:
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {held['pid']} at {held['url']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
