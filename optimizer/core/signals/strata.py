"""Fourfold tables in strata: comparing like with like, and summing up over what they are alike in.

Mantel and Haenszel's estimators stay unbiased however thin the strata are, which person-periods split by time,
recency and activity soon become; a table collapsed over them would compare those who stayed with those who left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from optimizer.core.signals.fourfold import ALPHA, Counts, Figures, figures
from optimizer.core.stats.effects import Interval
from optimizer.core.stats.proportions import wilson_interval

# Mantel and Fleiss (1980): the χ² approximation holds when the sum over strata can lie this far to either side of
# what is expected.
MANTEL_FLEISS = 5.0
MAXIMUM_EXACT_SUPPORT = 20_000
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strata:
    """One fourfold table per stratum; all arrays have shape (strata,).

    Attributes:
        units_with: Units (or person-periods) that did the event.
        converted_with: Of those, how many converted.
        units_without: That did not.
        converted_without: Of those, how many converted.
    """

    units_with: Array
    converted_with: Array
    units_without: Array
    converted_without: Array

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        parts = (self.units_with, self.converted_with, self.units_without, self.converted_without)
        if len({np.shape(part) for part in parts}) != 1 or np.ndim(self.units_with) != 1:
            raise ValueError("units and converted must be arrays of one and the same length")
        if any((part < 0).any() for part in parts):
            raise ValueError("units and converted must not be negative")
        if (self.converted_with > self.units_with).any() or (self.converted_without > self.units_without).any():
            raise ValueError("converted must not exceed units")

    def crude(self) -> Counts:
        """Collapse into one table."""
        return Counts(
            int(self.units_with.sum()),
            int(self.converted_with.sum()),
            int(self.units_without.sum()),
            int(self.converted_without.sum()),
        )

    def informative(self) -> Strata:
        """Keep the strata that say something: both kinds of units, some converted and some not."""
        converted = self.converted_with + self.converted_without
        units = self.units_with + self.units_without
        kept = (self.units_with > 0) & (self.units_without > 0) & (converted > 0) & (converted < units)
        return self.where(kept)

    def where(self, kept: NDArray[np.bool_]) -> Strata:
        """Keep some strata."""
        return Strata(
            self.units_with[kept],
            self.converted_with[kept],
            self.units_without[kept],
            self.converted_without[kept],
        )


@dataclass(frozen=True, slots=True)
class LogRatio:
    """A ratio on the log scale: `estimate` is ln(ratio), with its standard error."""

    estimate: float
    standard_error: float

    def interval(self, alpha: float = ALPHA) -> Interval:
        """Return the ratio's interval."""
        half = float(-special.ndtri(alpha / 2)) * self.standard_error
        return Interval(math.exp(self.estimate - half), math.exp(self.estimate + half))


def log_risk_ratio(strata: Strata) -> LogRatio | None:
    """Return Mantel and Haenszel's risk ratio with the variance of Greenland and Robins (1985).

    Strata in which everybody converted count too; those with one kind of units only carry no weight. Where the sum
    on either side is 0 the tables are collapsed with ½ added to each cell (Haldane, Anscombe).

    Returns:
        None where nothing can be compared: no stratum with both kinds of units, or nobody in those converted.
    """
    both = strata.where((strata.units_with > 0) & (strata.units_without > 0))
    a, n1, c, n0 = both.converted_with, both.units_with, both.converted_without, both.units_without
    total = n1 + n0
    upper, lower = float((a * n0 / total).sum()), float((c * n1 / total).sum())
    if upper + lower == 0:
        return None
    if upper == 0 or lower == 0:
        did, others = (float(a.sum()) + 0.5, float(n1.sum()) + 1), (float(c.sum()) + 0.5, float(n0.sum()) + 1)
        error = 1 / did[0] - 1 / did[1] + 1 / others[0] - 1 / others[1]
        return LogRatio(math.log(did[0] / did[1]) - math.log(others[0] / others[1]), math.sqrt(error))
    variance = float(((n1 * n0 * (a + c) - a * c * total) / total**2).sum()) / (upper * lower)
    return LogRatio(math.log(upper / lower), math.sqrt(variance)) if variance > 0 else None


def log_odds_ratio(strata: Strata) -> LogRatio | None:
    """Return Mantel and Haenszel's odds ratio with the variance of Robins, Breslow and Greenland (1986).

    Empty sums are treated as in `log_risk_ratio`.

    Returns:
        None where no stratum has both kinds of units, some converted and some not.
    """
    kept = strata.informative()
    a, c = kept.converted_with, kept.converted_without
    b, d = kept.units_with - a, kept.units_without - c
    total = kept.units_with + kept.units_without
    r, s = a * d / total, b * c / total
    upper, lower = float(r.sum()), float(s.sum())
    if upper + lower == 0:
        return None
    if upper == 0 or lower == 0:
        cells = [float(part.sum()) + 0.5 for part in (a, b, c, d)]
        return LogRatio(
            math.log(cells[0] * cells[3] / cells[1] / cells[2]), math.sqrt(sum(1 / cell for cell in cells))
        )
    p, q = (a + d) / total, (b + c) / total
    variance = (
        float((p * r).sum()) / (2 * upper**2)
        + float((p * s + q * r).sum()) / (2 * upper * lower)
        + float((q * s).sum()) / (2 * lower**2)
    )
    return LogRatio(math.log(upper / lower), math.sqrt(variance))


def risk_difference(strata: Strata) -> tuple[float, Interval] | None:
    """Return Mantel and Haenszel's risk difference with the interval of Sato (1989), good for many thin strata.

    Returns:
        None where no stratum has both kinds of units.
    """
    both = strata.where((strata.units_with > 0) & (strata.units_without > 0))
    a, n1, c, n0 = both.converted_with, both.units_with, both.converted_without, both.units_without
    total = n1 + n0
    weight = float((n1 * n0 / total).sum())
    if weight == 0:
        return None
    difference = float(((a * n0 - c * n1) / total).sum()) / weight
    p = (n1**2 * c - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / total**2
    q = (a * (n0 - c) + c * (n1 - a)) / (2 * total)
    variance = max(0.0, difference * float(p.sum()) + float(q.sum())) / weight**2
    half = float(-special.ndtri(ALPHA / 2)) * math.sqrt(variance)
    return difference, Interval(max(-1.0, difference - half), min(1.0, difference + half))


def association(strata: Strata) -> tuple[float, str, float] | None:
    """Test whether event and goal are independent within strata (Cochran 1954; Mantel and Haenszel 1959).

    Without continuity correction, as landmark tables are tested. Where Mantel and Fleiss' criterion fails, the exact
    conditional distribution of the sum takes over: two-sided, by probabilities, which is Fisher's test for one table.

    Returns:
        p-value, name of the test, and the signed root of χ²; None without an informative stratum.
    """
    kept = strata.informative()
    if not len(kept.units_with):
        return None
    n1, n0, a = kept.units_with, kept.units_without, kept.converted_with
    total, converted = n1 + n0, a + kept.converted_without
    expected = n1 * converted / total
    variance = n1 * n0 * converted * (total - converted) / (total**2 * np.maximum(total - 1, 1))
    root = float((a - expected).sum()) / math.sqrt(float(variance.sum()))
    least, most = np.maximum(0, converted - n0), np.minimum(n1, converted)
    slack = min(float((expected - least).sum()), float((most - expected).sum()))
    support = int((most - least).sum()) + 1
    if slack < MANTEL_FLEISS and support <= MAXIMUM_EXACT_SUPPORT:
        return _exact_p_value(kept), "exact_conditional", root
    return float(special.chdtrc(1, root**2)), "cochran_mantel_haenszel", root


def stratified_figures(strata: Strata) -> Figures:
    """Compute every figure over strata; with a single one they are those of the plain table.

    Rates are of all units with and without the event, not of a stratum, so their ratio is not the lift. φ is the
    signed √(χ²/units) within strata; mutual information is conditional on the stratum, less its bias (Miller 1955).
    """
    found = association(strata)
    lift, odds = log_risk_ratio(strata), log_odds_ratio(strata)
    if len(strata.units_with) == 1 or found is None or lift is None or odds is None:
        return figures(strata.crude()) if len(strata.units_with) == 1 else _rates_only(strata.crude())
    p_value, test, root = found
    kept = strata.informative()
    rates, difference = _rates_only(strata.crude()), risk_difference(strata)
    return Figures(
        rate_with=rates.rate_with,
        rate_with_interval=rates.rate_with_interval,
        rate_without=rates.rate_without,
        rate_without_interval=rates.rate_without_interval,
        risk_difference=difference[0] if difference else None,
        risk_difference_interval=difference[1] if difference else None,
        lift=math.exp(lift.estimate),
        lift_interval=lift.interval(),
        odds_ratio=math.exp(odds.estimate),
        odds_ratio_interval=odds.interval(),
        phi=root / math.sqrt(float((kept.units_with + kept.units_without).sum())),
        mutual_information_bits=_conditional_information(kept),
        p_value=p_value,
        test=test,
    )


def _rates_only(counts: Counts) -> Figures:
    n1, n0, a, c = counts.units_with, counts.units_without, counts.converted_with, counts.converted_without
    return Figures(
        rate_with=a / n1 if n1 else None,
        rate_with_interval=wilson_interval(a, n1, ALPHA) if n1 else None,
        rate_without=c / n0 if n0 else None,
        rate_without_interval=wilson_interval(c, n0, ALPHA) if n0 else None,
    )


def _exact_p_value(kept: Strata) -> float:
    distribution, shift = np.ones(1), 0
    for n1, n0, a, c in zip(
        kept.units_with, kept.units_without, kept.converted_with, kept.converted_without, strict=True
    ):
        least, most = int(max(0, a + c - n0)), int(min(n1, a + c))
        support = np.arange(least, most + 1)
        chances = scipy.stats.hypergeom.pmf(support, int(n1 + n0), int(n1), int(a + c))
        distribution = np.convolve(distribution, chances)
        shift += least
    observed = distribution[int(kept.converted_with.sum()) - shift]
    return float(min(1.0, distribution[distribution <= observed * (1 + 1e-7)].sum()))


def _conditional_information(kept: Strata) -> float:
    cells = np.stack([kept.converted_with, kept.units_with - kept.converted_with,
                      kept.converted_without, kept.units_without - kept.converted_without])  # fmt: skip
    total = cells.sum()
    margins = np.stack([
        kept.units_with * (kept.converted_with + kept.converted_without),
        kept.units_with * (cells[1] + cells[3]),
        kept.units_without * (kept.converted_with + kept.converted_without),
        kept.units_without * (cells[1] + cells[3]),
    ]) / cells.sum(0)  # fmt: skip
    filled = cells > 0
    bits = float((cells[filled] * np.log2(cells[filled] / margins[filled])).sum()) / float(total)
    bias = cells.shape[1] / (2 * float(total) * math.log(2))  # one degree of freedom a stratum
    return max(0.0, float(bits - bias))
