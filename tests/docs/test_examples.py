"""Every example of README and docs/ is run, in order, against a fresh service; a shown answer must be the real one.

A ```sh block is run by bash; a ```json block after it shows a part of its last answer: every key shown must be there
with the value shown, `"…"` stands for any value, and a list may be shown by its first items.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.sandbox import Sandbox
from tests.fixtures.server import BOOTSTRAP_KEY, Server

PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(page: Path) -> list[tuple[str, Any]]:
    """Give each command with the answer shown after it, if one is."""
    found: list[tuple[str, Any]] = []
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "sh":
            found.append((text, None))
        else:
            command, shown = found[-1]
            assert shown is None, f"two answers after one command: {command}"
            found[-1] = (command, json.loads(text))
    return found


def last_answer(output: str) -> Any:
    """Read the last of several JSON answers in a row."""
    answer, rest = None, output.strip()
    while rest:
        answer, end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:].strip()
    return answer


def difference(shown: Any, real: Any, place: str = "") -> str:
    """Say where the shown answer departs from the real one; empty when it does not."""
    if shown == "…":
        return ""
    if isinstance(shown, dict) and isinstance(real, dict):
        missing = [name for name in shown if name not in real]
        inner = (difference(shown[name], real[name], f"{place}/{name}") for name in shown if name in real)
        return f"{place}: no {missing}" if missing else next(filter(None, inner), "")
    if isinstance(shown, list) and isinstance(real, list) and len(shown) <= len(real):
        return next(filter(None, (difference(*pair, place) for pair in zip(shown, real, strict=False))), "")
    if isinstance(shown, float) and isinstance(real, float):
        digits = len(repr(shown).partition(".")[2])
        same = math.isclose(shown, real, abs_tol=0.51 * 10**-digits)
    else:
        same = shown == real
    return "" if same else f"{place}: shown {shown!r}, real {real!r}"


@pytest.mark.parametrize("page", [page for page in PAGES if steps(page)], ids=str)
def test_the_examples_of_a_page_run_and_show_what_really_comes(
    page: Path, start_server: Callable[..., Server], sandbox: Sandbox, tmp_path: Path
) -> None:
    server = start_server(OPTIMIZER_SCHEDULER="false")  # a job that rings between two commands would change answers
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "URL": server.url, "KEY": BOOTSTRAP_KEY, "SANDBOX": sandbox.url, "PATH": path}
    for command, shown in steps(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],  # noqa: S607 - the reader's own shell
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if shown is not None:
            departs = difference(shown, last_answer(done.stdout))
            assert not departs, f"{page}, after\n{command}\n{departs}\n\nreal: {done.stdout}"
