"""Exact tests of two proportions, for tables with a cell too small for the normal approximation.

They hold at a fixed horizon only: under monitoring a gate waits until the approximation holds instead.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy
from scipy import special

SMALL_CELL = 10
# Boschloo enumerates every table with the same margins; beyond this many it takes a tenth of a second or more, and
# Fisher, which conditions on both margins and is a little more conservative, takes over.
BOSCHLOO_TABLES = 4_000
FAR_MEAN = 1_000.0


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
        return min(1.0, float(scipy.stats.boschloo_exact(table, n=32).pvalue)), "boschloo"
    return _fisher(yes_a, n_a, yes_b, n_b), "fisher"


def _fisher(yes_a: int, n_a: int, yes_b: int, n_b: int) -> float:
    """Double the smaller tail of the hypergeometric distribution, as Boschloo's test does.

    The distribution is walked around the smallest cell and normalised by its own sum: so a table of any size takes
    microseconds, and no difference of huge logarithms of factorials is taken.
    """
    yes, no = yes_a + yes_b, n_a + n_b - yes_a - yes_b
    cells = [(yes_a, n_a, yes), (n_a - yes_a, n_a, no), (yes_b, n_b, yes), (n_b - yes_b, n_b, no)]
    seen, row, column = min(cells)
    rest = n_a + n_b - row - column
    mean = row * column / (n_a + n_b)
    if mean > FAR_MEAN:  # then fewer than ten where a thousand are expected: below e⁻⁹⁰⁰
        return 0.0
    low, high = max(0, -rest), min(row, column, int(mean + 60 * mean**0.5 + 200))
    k = np.arange(low, high, dtype=float)
    steps = np.log((column - k) * (row - k)) - np.log((k + 1) * (rest + k + 1))
    logs = np.concatenate([[0.0], steps.cumsum()])
    whole, place = special.logsumexp(logs), seen - low
    tails = (special.logsumexp(part) - whole for part in (logs[: place + 1], logs[place:]))
    return float(min(1.0, 2 * np.exp(min(tails))))
