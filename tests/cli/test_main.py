"""The command line as a whole: what it lists, and how quickly."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from optimizer.cli.main import Commands, group
from tests.fixtures.processes import loaded_by


def _commands() -> list[str]:
    assert isinstance(group, Commands)
    return group.list_commands(group.make_context("optimizer", ["serve"]))


def test_help_lists_every_command_with_the_first_line_of_its_own_help() -> None:
    shown = " ".join(CliRunner().invoke(group, ["--help"]).output.split())
    for name in _commands():
        command = group.get_command(group.make_context("optimizer", [name]), name)
        assert command is not None
        first = (command.help or "").split("\n", maxsplit=1)[0]
        assert first
        assert f"{name} {first}" in shown


def test_help_loads_no_statistics_and_no_engine() -> None:
    shown = "from click.testing import CliRunner; from optimizer.cli.main import group"
    code = f"{shown}; assert CliRunner().invoke(group, ['--help']).exit_code == 0"
    assert loaded_by(code, {"numpy", "scipy", "duckdb", "ibis", "flask", "sqlmodel"}) == set()


@pytest.mark.parametrize("asked", ["srve", "lib", "_server"])
def test_a_command_that_is_none_is_refused(asked: str) -> None:
    run = CliRunner().invoke(group, [asked])
    assert run.exit_code == 2
    assert f"No such command '{asked}'" in run.output
