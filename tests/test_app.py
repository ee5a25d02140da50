"""The composition root: what a process loads to start."""

from __future__ import annotations

from tests.fixtures.processes import loaded_by

LARGE = {"sklearn", "pandas", "scipy.stats", "scipy.optimize", "altair", "vl_convert"}


def test_a_start_loads_nothing_large_that_only_some_requests_need() -> None:
    assert loaded_by("import optimizer.app", LARGE) == set()
