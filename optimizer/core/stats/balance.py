"""Were the arms alike before the treatment, and did what happened to units happen in both alike?

A split with the right numbers can still be a wrong split: units that fall into two variants more often from one side,
anonymous visitors that merge into users more often in one arm, arms that differed before anybody was exposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.words import p_words

RED_BELOW = 0.001
EXPECTED_CELL = 5.0


class Balance(NamedTuple):
    """Result of a test that arms are alike.

    Attributes:
        p_value: Small when they are not; 1 when nothing can be said.
        status: ``ok``, ``too_few`` or ``no_variance``.
        detail: One sentence with its numbers.
    """

    p_value: float
    status: str
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the arms may be alike, at the threshold of health checks."""
        return self.p_value >= RED_BELOW


def asymmetry(happened: Sequence[int], units: Sequence[int], what: str) -> Balance:
    """Test that something happened to the same share of units in every arm (χ² of homogeneity).

    Args:
        happened: Units per arm to which it happened.
        units: Units per arm, those included.
        what: For the sentence, for example "merged into a user".

    Raises:
        ValueError: The lengths differ, or happened is negative or above units.
    """
    seen, whole = np.asarray(happened, float), np.asarray(units, float)
    if seen.shape != whole.shape:
        raise ValueError("happened must have one entry per arm of units")
    if not ((seen >= 0) & (seen <= whole)).all():
        raise ValueError("happened must lie between 0 and units")
    shown = ", ".join(f"{int(a):,} of {int(b):,}" for a, b in zip(seen, whole, strict=True))
    filled = whole > 0
    seen, whole = seen[filled], whole[filled]
    share = seen.sum() / max(whole.sum(), 1.0)
    if len(whole) <= 1 or whole.min() * min(share, 1 - share) < EXPECTED_CELL:
        return Balance(1.0, "too_few", f"Units {what} by arm: {shown}; too few to compare.")
    statistic = ((seen - whole * share) ** 2 / (whole * share * (1 - share))).sum()
    p_value = float(special.chdtrc(len(whole) - 1, statistic))
    return Balance(p_value, "ok", f"Units {what} by arm: {shown}; {p_words(p_value, 3)} that the shares are equal.")


def covariate_balance(row: CrossMoments, column: str) -> Balance:
    """Test that a number known before exposure has the same mean in every arm (Welch's analysis of variance).

    Args:
        row: Sums per arm.
        column: The covariate.

    Source:
        Welch, "On the comparison of several mean values: an alternative approach" (1951).
    """
    means, covariances = row.described([column])
    mean, variance, n = means[:, 0], covariances[:, 0, 0], row.n
    filled = n > 1
    if filled.sum() <= 1 or np.isnan(variance[filled]).any():
        return Balance(1.0, "too_few", f"{column} before exposure: too few units or no sum of squares to compare.")
    mean, variance, n = mean[filled], variance[filled], n[filled]
    if (variance <= 1e-12 * np.maximum(mean**2, variance)).any():
        return Balance(1.0, "no_variance", f"{column} before exposure does not vary within an arm.")
    weight = n / variance
    centre = (weight * mean).sum() / weight.sum()
    count = len(n)
    spread = ((1 - weight / weight.sum()) ** 2 / (n - 1)).sum()
    statistic = (weight * (mean - centre) ** 2).sum() / (count - 1)
    statistic /= 1 + 2 * (count - 2) / (count**2 - 1) * spread
    p_value = float(special.fdtrc(count - 1, (count**2 - 1) / (3 * spread), statistic))
    shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(np.array(row.arms)[filled], mean, strict=True))
    return Balance(
        p_value, "ok", f"{column} before exposure: {shown}; {p_words(p_value, 3)} that the means are equal."
    )
