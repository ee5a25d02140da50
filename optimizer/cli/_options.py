"""Options that several commands share, and how a command reads its settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class NewFile(click.Path):
    """A file that can be written: what does not fit is said before the work is done."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ANN401 - click's own signature
        """Return the path.

        Raises:
            click.BadParameter: Its folder is missing, or nothing may be written there.
        """
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not os.path.lexists(path) and not os.access(path.parent, os.W_OK | os.X_OK):
            self.fail(f"The folder {path.parent} does not exist, or nothing may be written there.", param, ctx)
        return path


def data_dir_option(command: Command) -> Command:
    """Add `--data-dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Folder for the embedded stores [default: ./optimizer-data].",
    )(command)
