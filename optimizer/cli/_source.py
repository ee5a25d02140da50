"""Where a command that reads takes its figures from: a running service over HTTP, or the data folder itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from optimizer.cli._lock import data_folder_lock
from optimizer.errors import ConfigurationError, InvalidInputError, Problem
from optimizer.settings import load

if TYPE_CHECKING:
    from optimizer.storage.stores import Stores

Command = TypeVar("Command", bound=Callable[..., Any])
Model = TypeVar("Model", bound=BaseModel)


def service_options(command: Command) -> Command:
    """Add `--url` and `--key`."""
    url = click.option("--url", envvar="OPTIMIZER_URL", help="A running service, read over HTTP [OPTIMIZER_URL].")
    key = click.option("--key", "service_key", envvar="OPTIMIZER_KEY", help="Its key, scope read [OPTIMIZER_KEY].")
    return url(key(command))


@contextmanager
def opened_folder(data_dir: Path | None, project: str, command: str) -> Iterator[tuple[Stores, int]]:
    """Open a data folder that no service is using, and find the project.

    Raises:
        ConfigurationError: A service uses it: it is to be read over HTTP.
        NotFoundError: There is no such project.
    """
    from optimizer.app import open_stores  # noqa: PLC0415 - imported only when the command runs
    from optimizer.catalog.projects import find_project  # noqa: PLC0415 - same

    settings = load({"data_dir": data_dir})
    if settings.event_store_url.startswith("duckdb") and not settings.data_dir.is_dir():
        raise ConfigurationError(
            f"There is no data folder {settings.data_dir}: name one with --data-dir, or use --url."
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(data_folder_lock(settings.data_dir, f"optimizer {command}"))
        except ConfigurationError as error:
            detail = f"{error.detail} Over HTTP: `optimizer {command} … --url URL --key KEY`."
            raise ConfigurationError(detail) from None
        stores = open_stores(settings)
        stack.callback(stores.control.close)
        stack.callback(stores.events.close)
        with stores.control.reading() as session:
            found = find_project(session, project).id or 0
        yield stores, found


def validated(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """Make a request from what was typed.

    Raises:
        InvalidInputError: Names every wrong field.
    """
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        faults = [
            Problem(
                f"/{'/'.join(map(str, one['loc']))}", str(one["type"]), str(one["msg"]).removeprefix("Value error, ")
            )
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidInputError(
            "; ".join(f"{fault.pointer[1:]}: {fault.detail}" for fault in faults), faults
        ) from None


def pairs(given: tuple[str, ...], option: str) -> dict[str, float]:
    """Read NAME=NUMBER options.

    Raises:
        UsageError: One is not such a pair.
    """
    found = {}
    for one in given:
        name, _, text = one.rpartition("=")
        try:
            found[name] = float(text)
        except ValueError:
            name = ""
        if not name:
            raise click.UsageError(f"{option} takes NAME=NUMBER, such as purchase=0.02, not {one!r}.")
    return found
