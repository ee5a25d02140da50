"""Fails on code that nothing calls (vulture), fields of tables and models aside: those are data, not code."""

from __future__ import annotations

import sys

from vulture.config import make_config
from vulture.core import Vulture


def check() -> int:
    config = make_config(["--config", "pyproject.toml"])
    finder = Vulture(ignore_names=config["ignore_names"], ignore_decorators=config["ignore_decorators"])
    finder.scavenge(config["paths"])
    unused = [item for item in finder.get_unused_code(config["min_confidence"]) if item.typ != "variable"]
    for item in unused:
        sys.stdout.write(f"{item.get_report()}\n")
    return min(len(unused), 1)


if __name__ == "__main__":
    sys.exit(check())
