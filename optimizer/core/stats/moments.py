"""Sufficient statistics: the only form in which data enters the statistics.

An event engine, a cookieless tool's daily totals and a published table all reduce to the same sums per arm, and sums
over disjoint sets of *units* add up exactly, so that days, shards and engines can be merged in any order.
What sums cannot tell is refused by name instead of being guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Sums of squares cancel: below this share of the mean square, a variance is rounding noise around zero.
_NOISE = 1e-13
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over the units of each arm; all arrays have one common shape, such as (arms,) or (metrics, arms).

    Attributes:
        units: Number of units (visitors), n.
        sums: Σx, where x is one unit's value; for a proportion the number of conversions.
        squares: Σx². None when only totals are known, for example from daily counts of a value.
        converters: Number of units whose value is not zero; None when unknown.
        products: Σxᵢxⱼ of every pair of metrics, shape (metrics, metrics, arms); None when only counts are known.
    """

    units: FloatArray
    sums: FloatArray
    squares: FloatArray | None
    converters: FloatArray | None = None
    products: FloatArray | None = None

    @classmethod
    def from_conversions(cls, visitors: npt.ArrayLike, conversions: npt.ArrayLike) -> Moments:
        """Build the moments of a proportion, where every value is 0 or 1 and so Σx² = Σx.

        Args:
            visitors: Units per arm, any shape.
            conversions: Units that converted, same shape.

        Raises:
            ValueError: A count is negative or not finite, or there are more conversions than visitors.
        """
        units, sums = _aligned("visitors", visitors, "conversions", conversions)
        _refuse_negative("visitors", units)
        _refuse_negative("conversions", sums)
        if np.any(sums > units):
            raise ValueError("conversions: more than visitors")
        return cls(units, sums, sums, sums)

    @classmethod
    def from_sums(
        cls,
        visitors: npt.ArrayLike,
        sums: npt.ArrayLike,
        sum_squares: npt.ArrayLike | None = None,
        converters: npt.ArrayLike | None = None,
        products: npt.ArrayLike | None = None,
    ) -> Moments:
        """Build the moments of a count or sum metric.

        Args:
            visitors: Units per arm, any shape.
            sums: Σx per arm, same shape.
            sum_squares: Σx² per arm, same shape; without it only means can be told.
            converters: Units with a value other than zero, same shape, when known.
            products: Σxᵢxⱼ, shape (metrics, metrics, arms), when known.

        Raises:
            ValueError: A count is negative, a number is not finite, or sum_squares is less than (Σx)²/n.
        """
        units, totals = _aligned("visitors", visitors, "sums", sums)
        _refuse_negative("visitors", units)
        if np.any((units == 0) & (totals != 0)):
            raise ValueError("sums: must be 0 where there are no visitors")
        squares = None
        if sum_squares is not None:
            _, squares = _aligned("visitors", units, "sum_squares", sum_squares)
            if np.any(squares * units < totals**2 * (1 - _ROUNDING)):
                raise ValueError(
                    "sum_squares: less than the square of the sum divided by visitors, which no data has"
                )
        known = None
        if converters is not None:
            _, known = _aligned("visitors", units, "converters", converters)
            _refuse_negative("converters", known)
            if np.any(known > units):
                raise ValueError("converters: more than visitors")
        crossed = None if products is None else _finite("products", products)
        return cls(units, totals, squares, known, crossed)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.units + other.units,
            self.sums + other.sums,
            _added(self.squares, other.squares),
            _added(self.converters, other.converters),
            _added(self.products, other.products),
        )

    def __getitem__(self, index: int) -> Moments:
        """Return one arm (or one metric's arms) by its place on the first axis; cross-products stay behind."""
        return Moments(
            np.asarray(self.units[index]),
            np.asarray(self.sums[index]),
            None if self.squares is None else np.asarray(self.squares[index]),
            None if self.converters is None else np.asarray(self.converters[index]),
        )

    @property
    def means(self) -> FloatArray:
        """Σx/n; NaN for an arm without units."""
        return _divided(self.sums, self.units)

    @property
    def variances(self) -> FloatArray:
        """Variance of one unit's value, ddof = 1; NaN with fewer than two units.

        Raises:
            ValueError: Σx² is unknown: counts do not identify the variance of a count or sum metric.
        """
        if self.squares is None:
            raise ValueError("sum_squares: needed, because totals alone do not identify a variance")
        means = self.means
        centred = self.squares - self.sums * means
        noise = centred <= _NOISE * self.squares
        return _divided(np.where(noise, 0.0, centred), self.units - 1)

    def covariances(self, first: int, second: int) -> FloatArray:
        """Covariance of two metrics over the units of each arm, ddof = 1, shape (arms,).

        Args:
            first: Place of one metric on the first axis.
            second: Place of the other.

        Raises:
            ValueError: Σxy is unknown: counts do not identify how two metrics vary together.
        """
        if self.products is None:
            raise ValueError("products: needed, because counts do not identify how two metrics vary together")
        centred = self.products[first, second] - self.sums[first] * self.means[second]
        return _divided(centred, self.units[first] - 1)

    @property
    def least_converters(self) -> FloatArray:
        """Number of units with a value other than zero, or a lower bound of it.

        The bound is (Σx)²/Σx², by Cauchy–Schwarz; heavy tails only make it smaller, never larger than the truth.

        Raises:
            ValueError: Neither the number nor Σx² is known.
        """
        if self.converters is not None:
            return self.converters
        if self.squares is None:
            raise ValueError("sum_squares: needed, because totals alone do not tell how many units contributed")
        return np.where(self.squares > 0, self.sums**2 / np.where(self.squares > 0, self.squares, 1.0), 0.0)


def _added(first: FloatArray | None, second: FloatArray | None) -> FloatArray | None:
    return None if first is None or second is None else first + second


def _divided(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), np.nan)


def _finite(name: str, values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name}: not finite")
    return array


def _aligned(
    first_name: str, first: npt.ArrayLike, second_name: str, second: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    one, other = _finite(first_name, first), _finite(second_name, second)
    if one.shape != other.shape:
        raise ValueError(f"{second_name}: shape {other.shape} differs from the shape {one.shape} of {first_name}")
    return one, other


def _refuse_negative(name: str, values: FloatArray) -> None:
    if np.any(values < 0):
        raise ValueError(f"{name}: negative")
