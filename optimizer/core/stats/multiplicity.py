"""Many comparisons at once: Holm where every claim must hold, Benjamini-Hochberg where a share may not.

`interval_alphas` gives each comparison the level at which its interval excludes 0 exactly when its adjusted p-value
is below α, so that figures and verdicts never contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of any false claim stays below α (Holm 1979).

    Raises:
        ValueError: A p-value lies outside [0, 1].
    """
    values, order = _checked(p_values)
    count = len(values)
    stepped = np.maximum.accumulate((count - np.arange(count)) * values[order])
    return _in_place(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the expected share of false claims stays below α (Benjamini and Hochberg 1995).

    Raises:
        ValueError: A p-value lies outside [0, 1].
    """
    values, order = _checked(p_values)
    count = len(values)
    scaled = count / np.arange(1, count + 1) * values[order]
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _in_place(np.minimum(stepped, 1.0), order)


def interval_alphas(p_values: Sequence[float], adjusted: Sequence[float], alpha: float) -> list[float]:
    """Return per comparison the α of its interval: α·p/p_adjusted, between α/m and α."""
    least = 1 / max(1, len(p_values))
    ratios = (p / q if p > 0 else least for p, q in zip(p_values, adjusted, strict=True))
    return [alpha * min(1.0, max(least, ratio)) for ratio in ratios]


def _checked(p_values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    values = np.asarray(p_values, float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p_values must lie between 0 and 1")
    return values, np.argsort(values, kind="stable")


def _in_place(ordered: NDArray[np.float64], order: NDArray[np.intp]) -> list[float]:
    result = np.empty_like(ordered)
    result[order] = ordered
    return [float(value) for value in result]
