"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_analyse import run


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        (["results", "one", "--html"], "html"),
        (["results", "one", "--png"], "png"),
        (["plan", "purchase", "--baseline", "purchase=0.04", "--chart"], "svg"),
        (["simulate", "--picture"], "svg"),
        (["export"], "csv"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_a_file_that_cannot_be_written_is_said_before_the_work(
    command: list[str], suffix: str, tmp_path: Path
) -> None:
    missing = run(*command, str(tmp_path / "missing" / f"it.{suffix}"))
    assert missing.exit_code == 2
    assert f"The folder {tmp_path / 'missing'} does not exist" in " ".join(missing.output.split())
    folder = run(*command, str(tmp_path))
    assert folder.exit_code == 2
    assert "is a directory" in folder.output
