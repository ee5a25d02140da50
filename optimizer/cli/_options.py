"""Options that several commands share, and how a command reads its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def data_dir_option(command: Command) -> Command:
    """Add `--data-dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Folder for the embedded stores [default: ./optimizer-data].",
    )(command)
