"""Every example of README and docs/ is run, in order, against a fresh service; a shown answer must be the real one.

A ```sh block is run by bash, a ```python block by Python after the earlier ones of its page, as in a notebook. A
```json block after it shows a part of its last answer: every key shown must be there with the value shown, `"…"`
stands for any value, and a list may be shown by its first items. A ```text block right after it shows its output; …
stands for anything.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.sandbox import Sandbox
from tests.fixtures.server import BOOTSTRAP_KEY, Server

PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|python|json|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SILENTLY = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"


@dataclass
class Step:
    """One example.

    Attributes:
        command: What to run, with its arguments.
        text: As the page shows it.
        shown: The answer shown after it: a part of it as JSON, or a pattern of its text; None shows none.
    """

    command: list[str]
    text: str
    shown: Any = None


def steps(page: Path) -> list[Step]:
    """Give each example with the answer shown after it, if one is."""
    found: list[Step] = []
    before, end = "", 0
    page_text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(page_text):
        kind, text = block.groups()
        follows = found and not page_text[end : block.start()].strip()
        if kind == "sh":
            found.append(Step(["bash", "-euo", "pipefail", "-c", text], text))
        elif kind == "python":
            found.append(Step([sys.executable, "-c", f"{SILENTLY}    exec({before!r})\n{text}"], text))
            before += text
        elif kind == "json" or follows:
            assert found[-1].shown is None, f"two answers after one command: {found[-1].text}"
            found[-1].shown = json.loads(text) if kind == "json" else re.compile(pattern(text))
        end = block.end()
    return found


def pattern(text: str) -> str:
    """Turn shown output into a pattern: … is anything, alone on a line any lines; ends of lines may be blank."""
    lines = (re.escape(line.rstrip()).replace("…", ".*") + r" *\n" for line in text.splitlines())
    return "".join(r"(?:.*\n)*?" if line == r".* *\n" else line for line in lines)


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
    environment["COLUMNS"] = "120"  # of the terminal that the examples are shown in
    for step in steps(page):
        done = subprocess.run(
            step.command,
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{step.text}\n{done.stdout}\n{done.stderr}"
        if isinstance(step.shown, re.Pattern):
            assert step.shown.search(done.stdout), f"{page}, after\n{step.text}\nreal:\n{done.stdout}"
        elif step.shown is not None:
            departs = difference(step.shown, last_answer(done.stdout))
            assert not departs, f"{page}, after\n{step.text}\n{departs}\n\nreal: {done.stdout}"
