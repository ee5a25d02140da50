"""Fails on code that nothing calls (vulture).

Fields of tables and models are data, and the classes of rooms that are discovered are named by nobody: both are left
out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vulture.config import make_config
from vulture.core import Item, Vulture

DISCOVERED = (Path("optimizer/ingest/formats"), Path("optimizer/feedback/destinations"))


def check() -> int:
    config = make_config(["--config", "pyproject.toml"])
    finder = Vulture(ignore_names=config["ignore_names"], ignore_decorators=config["ignore_decorators"])
    finder.scavenge(config["paths"])
    found = finder.get_unused_code(config["min_confidence"])
    unused = [item for item in found if item.typ != "variable" and not _discovered(item)]
    for item in unused:
        sys.stdout.write(f"{item.get_report()}\n")
    return min(len(unused), 1)


def _discovered(item: Item) -> bool:
    return item.typ == "class" and Path(item.filename).parent in {*DISCOVERED, *(Path.cwd() / d for d in DISCOVERED)}


if __name__ == "__main__":
    sys.exit(check())
