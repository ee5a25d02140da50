"""What commands that take or give events in bulk have in common: flat memory, and a garbage collector kept at bay."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from optimizer.settings import Settings, load

THRESHOLDS = (100_000, 20, 100)
# Each commit lets go of the interpreter's lock some ten times, in NumPy, Arrow and for the disk. At Python's 5 ms it
# may wait that long each time for a thread that computes; far below 1 ms threads change places more than they work
# (at .2 ms a tenth less is taken in).
SWITCH_SECONDS = 0.001
DUCKDB_MEMORY_MB = 256


def bulk_settings(data_dir: Path | None) -> Settings:
    """Read the settings; unless they say otherwise the embedded store keeps little in memory: nothing is read twice.

    Raises:
        ConfigurationError: See `load`.
    """
    settings = load({"data_dir": data_dir})
    limit = settings.duckdb_memory_mb or DUCKDB_MEMORY_MB
    return settings.model_copy(update={"duckdb_memory_mb": limit})


def suit_batches() -> None:
    """Set the interpreter up for batches of short-lived objects beside a writer that must not wait.

    The garbage collector walks rarely, and never over what lives as long as the process.

    A batch is thousands of short-lived objects, and the collector would walk all of them again and again: a quarter
    of the time an event takes in a server, half of it in an import.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
