"""Quantile metrics (a median order, the 95th percentile of loading time) over observations that cluster in units.

The unit was randomised, not the observation: a visitor with forty page views is one draw, not forty. The share of an
arm's observations that are not above its quantile is a ratio of sums over units, whose error the delta method gives;
two order statistics, that many errors of the share below and above the quantile, turn it back into the metric's own
scale, so that no density has to be estimated. An engine sums up units and picks order statistics; no observation has
to leave it.

Source: Deng, Knoblich, Lu, "Applying the delta method in metric analytics" (2018), section 4; the outer interval is
Woodruff's (1952).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from optimizer.core.stats.cross import CrossMoments
from optimizer.core.stats.figures import Measure

FEWEST_UNITS = 30
OUTER = 1.96  # errors of the share at which the order statistics are taken, as in the source
# What a row of `quantile_row` is read with.
QUANTILE = Measure("quantile", "value", converters="known", tail="tail")
OBSERVATIONS = "observations"


class Clusters(NamedTuple):
    """How an arm's observations, and those not above its quantile, are spread over units.

    Attributes:
        units: Units with an observation.
        observations: Σc over units, c the observations of one.
        below: Σb, b those of them not above the quantile.
        observations_squared: Σc².
        below_squared: Σb².
        product: Σbc.
    """

    units: int
    observations: float
    below: float
    observations_squared: float
    below_squared: float
    product: float


class Quantile(NamedTuple):
    """A quantile and its sampling error.

    Attributes:
        value: The quantile over all observations of the arm.
        standard_error: Of it; None when there are too few units, or too few at that tail, to tell. 0 when the
            order statistics around it are all the same value.
        units: Units that it rests on.
        observations: Observations.
        tail: How many independent observations lie beyond it, for its error; whichever side has fewer.
    """

    value: float
    standard_error: float | None
    units: int
    observations: int
    tail: float


def place_of(level: float, observations: float) -> int:
    """Return which order statistic (from 0) is the quantile: the smallest that the share does not exceed."""
    # A hair less, so that rounding does not reach for one more.
    return min(round(observations) - 1, max(0, math.ceil(level * observations * (1 - 1e-12)) - 1))


def share_error(clusters: Clusters) -> float:
    """Return the standard error of Σb/Σc by the delta method: that of a ratio of sums over units."""
    if clusters.units <= 1:
        return math.inf
    share = clusters.below / clusters.observations
    # Σ(b − share·c)², which is what varies between units.
    residual = clusters.below_squared - 2 * share * clusters.product + share**2 * clusters.observations_squared
    inflated = max(0.0, residual) * clusters.units / (clusters.units - 1)
    return math.sqrt(inflated) / clusters.observations


def outer_places(clusters: Clusters, level: float) -> tuple[int, int] | None:
    """Return the order statistics (from 0) around the quantile; None with too few units, or too few at that tail."""
    half, last = OUTER * share_error(clusters), round(clusters.observations) - 1
    if clusters.units < FEWEST_UNITS or level - half <= 0 or level + half >= 1:
        return None
    if place_of(level, clusters.observations) in {0, last}:  # nothing lies beyond it
        return None
    return place_of(level - half, clusters.observations), place_of(level + half, clusters.observations)


def quantile_of(value: float, outer: tuple[float, float] | None, clusters: Clusters, level: float) -> Quantile:
    """Put together an arm's quantile.

    Args:
        value: The order statistic `place_of` the level.
        outer: Those at `outer_places`; None where there are none.
        clusters: How observations are spread over units.
        level: Which quantile, in (0, 1).
    """
    error = share_error(clusters)
    share = clusters.below / clusters.observations
    alone = share * (1 - share) / error**2 if 0 < error < math.inf and share < 1 else clusters.observations
    tail = min(level, 1 - level) * (alone if clusters.units > 1 else 0.0)
    spread = None if outer is None else (outer[1] - outer[0]) / (2 * OUTER)
    return Quantile(value, spread, clusters.units, round(clusters.observations), tail)


def quantile_row(arms: Mapping[str, tuple[int, Quantile | None]]) -> CrossMoments:
    """Write quantiles as sums over units, so that everything that compares means compares them.

    To first order a quantile is a mean over units too, of how far each one's observations pull it. The row has the
    sums of such numbers: their mean is the quantile, and their variance ÷ units the square of its standard error.

    Args:
        arms: Per arm its units (also those without an observation) and its quantile; None without an observation.
    """
    n = np.array([float(units) for units, _ in arms.values()])
    totals, squares = np.zeros((len(arms), 4)), np.zeros(len(arms))
    for place, (units, found) in enumerate(arms.values()):
        if found is None:
            continue
        totals[place] = units * found.value, found.units, found.tail, found.observations
        error = math.nan if found.standard_error is None else found.standard_error
        squares[place] = (units - 1) * units * error * error + units * found.value * found.value
    columns = (QUANTILE.value, "known", "tail", OBSERVATIONS)
    products = {(QUANTILE.value, QUANTILE.value): squares}
    return CrossMoments.of_sums(list(arms), columns, n, totals, products)


def clustered_quantile(values: ArrayLike, units: ArrayLike, level: float) -> Quantile:
    """Estimate a quantile of observations held in memory, with the error of its units.

    Args:
        values: Observations.
        units: For each observation, the number or name of its unit.
        level: Which quantile, in (0, 1).

    Raises:
        ValueError: There is no observation, the lengths differ or level is outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError("level must lie strictly between 0 and 1")
    amounts, (_, owner) = np.asarray(values, float), np.unique(np.asarray(units), return_inverse=True)
    if not len(amounts) or owner.shape != amounts.shape:
        raise ValueError("values must not be empty and need one unit each")
    ordered = np.sort(amounts)
    value = float(ordered[place_of(level, len(ordered))])
    counts = np.bincount(owner).astype(float)
    below = np.bincount(owner, weights=amounts <= value)
    clusters = Clusters(
        len(counts),
        float(counts.sum()),
        float(below.sum()),
        *(float(a @ b) for a, b in ((counts, counts), (below, below), (below, counts))),
    )
    places = outer_places(clusters, level)
    outer = None if places is None else (float(ordered[places[0]]), float(ordered[places[1]]))
    return quantile_of(value, outer, clusters, level)
