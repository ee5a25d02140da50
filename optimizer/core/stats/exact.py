"""Exact tests of two proportions, for tables with a cell too small for the normal approximation.

They hold at a fixed horizon only: under monitoring a gate waits until the approximation holds instead.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import stats

SMALL_CELL = 10
# Boschloo enumerates every table with the same margins; beyond this many it takes a tenth of a second or more, and
# Fisher, which conditions on both margins and is a little more conservative, takes over.
BOSCHLOO_TABLES = 4_000


@functools.lru_cache(maxsize=4096)
def exact_p_value(yes_a: int, n_a: int, yes_b: int, n_b: int) -> tuple[float, str]:
    """Return a two-sided p-value and the test's name, ``boschloo`` or ``fisher``.

    Args:
        yes_a: Conversions of the control.
        n_a: Units of the control.
        yes_b: Conversions of the treatment.
        n_b: Units of the treatment.
    """
    table = np.array([[yes_b, yes_a], [n_b - yes_b, n_a - yes_a]])
    if yes_a + yes_b in {0, n_a + n_b}:
        return 1.0, "boschloo"
    if n_a * n_b <= BOSCHLOO_TABLES:
        return min(1.0, float(stats.boschloo_exact(table, n=32).pvalue)), "boschloo"
    tails = (float(stats.fisher_exact(table, side)[1]) for side in ("less", "greater"))
    return min(1.0, 2 * min(tails)), "fisher"  # the smaller tail doubled, as Boschloo's does
