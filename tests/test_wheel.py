"""What is shipped holds everything the service needs beside its code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


def test_the_wheel_ships_migrations_and_settings(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(build, check=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "optimizer/_migrations/env.py" in names
    assert "optimizer/_migrations/versions/0001_the_first_schema.py" in names
    assert "optimizer/_config/optimizer.toml" in names
    assert "optimizer/web/templates/report.html" in names
    assert "optimizer/web/templates/report.css" in names
    assert not [name for name in names if name.startswith("tests")]
