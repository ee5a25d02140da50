"""Sample ratio mismatch: are the arms filled as they should be?

The χ² test answers once; under repeated looks its p-value falls below any threshold sooner or later. The
anytime-valid multinomial test may be read as often as one likes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.multiplicity import holm

RED_BELOW = 0.001
LEAST_SHARE = 1e-12  # so that an arm with next to no weight still has an expectation to divide by
CONCENTRATION = 100.0  # weak enough that 200 against 400 is red, at little cost for large tests


class SegmentRatio(NamedTuple):
    """One segment's split, to locate the cause of a mismatch.

    Attributes:
        segment: Its name.
        p_value: χ² p-value of the segment alone.
        adjusted_p_value: Holm over segments.
        units: Units per arm.
    """

    segment: str
    p_value: float
    adjusted_p_value: float
    units: tuple[int, ...]


class SampleRatio(NamedTuple):
    """Result of both tests.

    Attributes:
        p_value: χ² p-value, df = (arms with positive weight) − 1; 1 with fewer than two such arms or no units.
        sequential_p_value: Anytime-valid p-value (1 over the Bayes factor, at most 1).
        stray_units: Units in arms whose weight is 0: an error by itself, whatever the p-values say.
        expected: Expected units per arm.
    """

    p_value: float
    sequential_p_value: float
    stray_units: int
    expected: tuple[float, ...]


def sample_ratio(units: Sequence[int], weights: Sequence[float]) -> SampleRatio:
    """Test whether units fell into arms as the weights say.

    Args:
        units: Units per arm, 0 or more.
        weights: Weight per arm, 0 or more, in any scale; not all 0.

    Returns:
        Both p-values over the arms with positive weight (an arm of 0 weight and 0 units is left out).

    Raises:
        ValueError: The lengths differ, something is negative or not finite, or all weights are 0.

    Source:
        Lindon and Malek, "Anytime-valid inference for multinomial count data", arXiv 2011.03567, eq. 5: Dirichlet
        prior centred on the weights, here with concentration 100.
    """
    counts, shares = np.asarray(units, float), np.asarray(weights, float)
    if counts.shape != shares.shape:
        raise ValueError("weights must have one entry per arm of units")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("units must be finite and not negative")
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise ValueError("weights must be finite, not negative and not all 0")
    open_arms = shares > 0
    stray = int(counts[~open_arms].sum())
    shares = np.where(open_arms, np.maximum(shares / shares.sum(), LEAST_SHARE), 0.0)
    observed, expected_shares = counts[open_arms], shares[open_arms]
    total = float(observed.sum())
    expected = tuple(float(total * share) for share in shares)
    if total == 0 or open_arms.sum() < 2:  # noqa: PLR2004 - one open arm cannot mismatch
        return SampleRatio(1.0, 1.0, stray, expected)
    statistic = float(((observed - total * expected_shares) ** 2 / (total * expected_shares)).sum())
    p_value = float(special.chdtrc(int(open_arms.sum()) - 1, statistic))
    return SampleRatio(p_value, _sequential_p_value(observed, expected_shares), stray, expected)


def sample_ratio_by_segment(units: Mapping[str, Sequence[int]], weights: Sequence[float]) -> list[SegmentRatio]:
    """Test the split within each segment (device, source, day, …), the most suspicious first.

    Args:
        units: Per segment, units per arm.
        weights: Weight per arm.

    Raises:
        ValueError: As in `sample_ratio`.
    """
    p_values = [sample_ratio(counts, weights).p_value for counts in units.values()]
    rows = zip(units.items(), p_values, holm(p_values), strict=True)
    found = [SegmentRatio(segment, p, q, tuple(counts)) for (segment, counts), p, q in rows]
    return sorted(found, key=lambda row: row.p_value)


def _sequential_p_value(observed: np.ndarray, shares: np.ndarray) -> float:
    prior = CONCENTRATION * shares
    log_factor = (
        special.gammaln(prior.sum())
        - special.gammaln(prior.sum() + observed.sum())
        + (special.gammaln(prior + observed) - special.gammaln(prior)).sum()
        - (observed * np.log(shares)).sum()
    )
    return math.exp(-max(0.0, float(log_factor)))
