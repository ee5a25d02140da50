"""`optimizer`: finds the commands and turns our errors into one clear line and exit status 2.

Commands are imported only when called, because a growth team's terminal should not wait for the statistics to load.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import keyword
import pkgutil
from pathlib import Path

import click
from rich.console import Console

import optimizer.cli
from optimizer.errors import OptimizerError


class Commands(click.Group):
    """Every module of this package that holds a `command` is one, under its own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command."""
        del ctx
        found = (info.name for info in pkgutil.iter_modules(optimizer.cli.__path__))
        return sorted(name.rstrip("_") for name in found if not name.startswith("_") and name != "main")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(_module_of(cmd_name)).command
        return keep_lines(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List every command with the first line of its help, read from the source: importing all takes seconds."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(name)) for name in self.list_commands(ctx)])


def _module_of(name: str) -> str:
    return f"optimizer.cli.{name}_" if keyword.iskeyword(name) else f"optimizer.cli.{name}"


def _first_line(name: str) -> str:
    found = importlib.util.find_spec(_module_of(name))
    if found is None or found.origin is None:
        return ""
    module = ast.parse(Path(found.origin).read_bytes())
    texts = [
        ast.get_docstring(part) or ""
        for part in module.body
        if isinstance(part, ast.FunctionDef) and part.name == "command"
    ]
    return texts[0].split("\n", maxsplit=1)[0] if texts else ""


def keep_lines(command: click.Command) -> click.Command:
    r"""Let examples in a help text keep their lines: docstrings are raw, so click's marker stands in them as `\b`."""
    command.help = (command.help or "").replace(r"\b", "\b")
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optimizer")
def group() -> None:
    r"""Turn micro conversions into four decisions.

    \b
    Examples:
      optimizer serve                        start everything in ./optimizer-data
      optimizer keys create --scope ingest   a key for your tracker
      optimizer demo                         the whole loop on real input, in about a minute
    """


def main() -> None:
    """Run the command line."""
    keep_lines(group)
    try:
        group(standalone_mode=True)
    except OptimizerError as error:
        Console(stderr=True).print(f"[bold red]error[/] {error.detail}", highlight=False)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
