"""How many conversions those who denied consent are likely to have made, scaled up stratum by stratum.

Whoever denies consent is seen without an identity: that somebody visited is known, not who, nor what became of the
visit. Within a stratum (one source on one device) they are taken to convert as often per visit as those who did
consent. That is an assumption, not a finding: the interval covers chance, never a wrong assumption, so what the total
would be under other relative rates stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import special

from optimizer.core.stats.effects import Interval

ALPHA = 0.05
MINIMUM_SHARE = 0.3  # of all visits; below it most of the total would be made up
MINIMUM_STRATUM_SHARE = 0.1
MINIMUM_STRATUM_UNITS = 50
MINIMUM_CONVERSIONS = 10
EXACT = 1e-12  # relative variance that is nothing but rounding
NONE_SEEN = 0.5  # conversions that a stratum without any may yet have, for its uncertainty only


@dataclass(frozen=True, slots=True)
class Stratum:
    """What is known of one stratum; of consented units, sums over units (c conversions, v visits each).

    Attributes:
        units: Consented units.
        visits: Σv.
        visit_squares: Σv².
        conversions: Σc.
        conversion_squares: Σc².
        crosses: Σcv.
        denied_visits: Visits without consent.
    """

    units: int
    visits: float
    visit_squares: float
    conversions: float
    conversion_squares: float
    crosses: float
    denied_visits: float

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if min(self.units, self.visits, self.conversions, self.denied_visits) < 0:
            raise ValueError("units, visits, conversions and denied_visits must not be negative")

    def __add__(self, other: Stratum) -> Stratum:
        """Pool two strata of different units."""
        return Stratum(
            self.units + other.units,
            self.visits + other.visits,
            self.visit_squares + other.visit_squares,
            self.conversions + other.conversions,
            self.conversion_squares + other.conversion_squares,
            self.crosses + other.crosses,
            self.denied_visits + other.denied_visits,
        )

    @property
    def share(self) -> float | None:
        """Share of visits with consent; None without visits."""
        total = self.visits + self.denied_visits
        return self.visits / total if total else None

    @property
    def is_large_enough(self) -> bool:
        """Whether its own rate can carry its own denied visits."""
        return self.units >= MINIMUM_STRATUM_UNITS and (self.share or 0.0) >= MINIMUM_STRATUM_SHARE


NOTHING = Stratum(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Modelled:
    """Conversions of those who denied consent.

    Attributes:
        conversions: Expected.
        variance: Of what they really did around it: their own chance, and that of the rate it is scaled by.
        interval: At 95%, from a gamma distribution with this mean and variance, so that it never goes below 0.
    """

    conversions: float
    variance: float
    interval: Interval


def model_stratum(stratum: Stratum) -> Modelled:
    """Scale one stratum: conversions per visit of those who consented, times the visits of those who did not.

    The rate is a ratio of sums over units, so its error is the ratio estimator's (Cochran 1977, §6.4), units being
    what varies: a unit's visits and conversions go together. D denied visits are taken to be of D/v̄ units like these:
    variance = (D/v̄)·s² + (D/v̄)²·s²/n, with s² the variance of c − r·v over the n units.

    Raises:
        ValueError: Nobody consented, so there is no rate.
    """
    if not stratum.visits or not stratum.units:
        raise ValueError("stratum must hold visits of consented units")
    rate = stratum.conversions / stratum.visits
    squares = stratum.conversion_squares - 2 * rate * stratum.crosses + rate**2 * stratum.visit_squares
    spread = max(squares, 0.0) / max(stratum.units - 1, 1)
    if not stratum.conversions:
        spread = NONE_SEEN / stratum.units
    denied_units = stratum.denied_visits * stratum.units / stratum.visits
    variance = denied_units * spread + denied_units**2 * spread / stratum.units
    return _modelled(rate * stratum.denied_visits, variance)


def model_strata(strata: Sequence[Stratum]) -> tuple[Modelled, list[Modelled]]:
    """Scale every stratum, and their total.

    A stratum too small to carry its own rate (under 50 consented units, or under a tenth of its visits consented)
    is scaled by the rate of all small ones together or, where those are too small too, of everybody.

    Args:
        strata: At least one with visits of consented units.

    Returns:
        The total, and one result per stratum in their order. The total is of the strata and of the small ones as one,
        because what shares a rate shares its error.

    Raises:
        ValueError: Nobody consented anywhere.
    """
    small = [one for one in strata if not one.is_large_enough]
    basis = sum(small, NOTHING)
    if not basis.is_large_enough:
        basis = sum(strata, NOTHING)
    bases = [one if one.is_large_enough else replace(basis, denied_visits=one.denied_visits) for one in strata]
    parts = [model_stratum(one) for one in bases]
    independent = [part for part, one in zip(parts, strata, strict=True) if one.is_large_enough]
    if small:
        denied = sum(one.denied_visits for one in small)
        independent.append(model_stratum(replace(basis, denied_visits=denied)))
    mean = sum(part.conversions for part in independent)
    variance = sum(part.variance for part in independent)
    return _modelled(mean, variance), parts


def _modelled(mean: float, variance: float) -> Modelled:
    if mean <= 0:
        upper = float(-special.ndtri(ALPHA / 2)) * math.sqrt(variance)
        return Modelled(0.0, variance, Interval(0.0, upper))
    if variance <= EXACT * mean**2:
        return Modelled(mean, variance, Interval(mean, mean))
    shape, scale = mean**2 / variance, variance / mean
    lower, upper = (float(special.gammaincinv(shape, level) * scale) for level in (ALPHA / 2, 1 - ALPHA / 2))
    return Modelled(mean, variance, Interval(lower, upper))
