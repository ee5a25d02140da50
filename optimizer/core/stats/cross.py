"""Mergeable sufficient statistics of several metrics at once: what ratios, covariates and denominators start from.

`Moments` describes one number per unit; a ratio or an adjusted mean also needs how two numbers of the same unit move
together. A `CrossMoments` holds, for every arm of an experiment, n, Σx of each column and Σxy of each pair. An event
store fills it with one grouped query; finished cohort days, shards and engines are merged by `+`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from optimizer.core.stats.effects import Floats
from optimizer.core.stats.moments import Moments

ROUNDING = 1e-9  # what sums of squares may lose before they contradict their sums
LARGEST = 1e140  # beyond, a sum's square is no float any more


class Sums(NamedTuple):
    """Sums of equally many columns for several metrics at once.

    Attributes:
        n: Units, shape (metrics, arms).
        totals: Σx, shape (metrics, arms, columns).
        products: Σxy, shape (metrics, arms, columns, columns).
    """

    n: Floats
    totals: Floats
    products: Floats

    def described(self) -> tuple[Floats, Floats]:
        """Return means and unbiased covariances, in the shapes of `totals` and `products`.

        A mean is 0 for an arm without units, a covariance 0 below two units and NaN where its sum is unknown.
        """
        n = self.n[..., None]
        means = self.totals / np.maximum(n, 1)
        centred = self.products - self.totals[..., :, None] * means[..., None, :]
        return means, np.where(n[..., None] > 1, centred / np.maximum(n - 1, 1)[..., None], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class CrossMoments:
    """Counts, sums and cross-products over the units of each arm.

    All columns are numbers of the *same* units: metrics with another set of mature units need a row of their own.

    Attributes:
        arms: Names of the arms, in the order of the first axis of every array.
        columns: Names of the numbers per unit (metrics, denominators, covariates, indicators).
        n: Units, shape (arms,).
        totals: Σx, shape (arms, columns). NaN marks a sum too large to compute with; so are its products then.
        products: Σxy, shape (arms, columns, columns), symmetric; the diagonal is Σx². NaN marks a pair whose sum the
            source did not give; asking for it is refused by name.
    """

    arms: tuple[str, ...]
    columns: tuple[str, ...]
    n: Floats
    totals: Floats
    products: Floats

    def __post_init__(self) -> None:
        """Refuse what no data can produce."""
        shape = (len(self.arms), len(self.columns))
        if len(set(self.arms)) < shape[0] or len(set(self.columns)) < shape[1]:
            raise ValueError("arms and columns must have names of their own")
        if self.n.shape != shape[:1] or self.totals.shape != shape or self.products.shape != (*shape, shape[1]):
            raise ValueError("n, totals and products must have shapes (arms), (arms, columns), (arms, columns²)")
        if not (np.isfinite(self.n).all() and (self.n >= 0).all()):
            raise ValueError("n must be finite and not negative")
        if np.isinf(self.totals).any() or np.isinf(self.products).any():
            raise ValueError("totals and products must be finite")
        squares = np.diagonal(self.products, axis1=1, axis2=2)
        if (squares * self.n[:, None] < self.totals**2 * (1 - ROUNDING)).any():
            raise ValueError("products are smaller than totals and n allow (Cauchy-Schwarz)")

    def __add__(self, other: CrossMoments) -> CrossMoments:
        """Merge two disjoint sets of units.

        Raises:
            ValueError: Arms or columns differ.
        """
        if self.arms != other.arms or self.columns != other.columns:
            raise ValueError("only rows with the same arms and columns, in the same order, can be merged")
        n, totals = self.n + other.n, self.totals + other.totals
        return CrossMoments(self.arms, self.columns, n, totals, self.products + other.products)

    @classmethod
    def of_sums(
        cls,
        arms: Sequence[str],
        columns: Sequence[str],
        n: ArrayLike,
        totals: ArrayLike,
        products: Mapping[tuple[str, str], ArrayLike],
    ) -> CrossMoments:
        """Build a row from the sums of one grouped query; what is too large to be squared becomes unknown.

        Args:
            arms: Names of the arms; an arm without units has n = 0 and sums of 0.
            columns: Names of the columns.
            n: Units per arm.
            totals: Σx, one row per arm and one entry per column.
            products: Σxy per arm for each pair that was summed, in either order; ("x", "x") is Σx². Pairs left out
                are unknown, so only those that some metric needs have to be computed.

        Raises:
            ValueError: A pair names another column, or the sums contradict each other.
        """
        place = {name: number for number, name in enumerate(columns)}
        cells = np.full((len(arms), len(columns), len(columns)), np.nan)
        for (one, other), sums in products.items():
            if one not in place or other not in place:
                raise ValueError(f"products name ({one}, {other}), but the columns are {', '.join(columns)}")
            cells[:, place[one], place[other]] = cells[:, place[other], place[one]] = np.asarray(sums, float)
        amounts = np.array(totals, float).reshape(len(arms), len(columns))
        large = ~(np.abs(amounts) <= LARGEST) | np.isinf(np.diagonal(cells, axis1=1, axis2=2))
        amounts[large] = np.nan
        cells[large[:, :, None] | large[:, None, :] | np.isinf(cells)] = np.nan
        return cls(tuple(arms), tuple(columns), np.asarray(n, float), amounts, cells)

    @classmethod
    def of_units(cls, columns: Sequence[str], values: Mapping[str, ArrayLike]) -> CrossMoments:
        """Sum up units held in memory: per arm one array of shape (units, columns)."""
        found = [np.asarray(array, float).reshape(-1, len(columns)) for array in values.values()]
        n = np.array([len(array) for array in found], float)
        totals = np.array([array.sum(0) for array in found]).reshape(len(found), len(columns))
        products = np.array([array.T @ array for array in found]).reshape(len(found), len(columns), len(columns))
        return cls(tuple(values), tuple(columns), n, totals, products)

    @classmethod
    def of_moments(cls, column: str, arms: Mapping[str, Moments]) -> CrossMoments:
        """Build a row of one column from moments; a missing sum of squares stays unknown."""
        squares = [np.nan if arm.squares is None else arm.squares for arm in arms.values()]
        n, totals = [arm.n for arm in arms.values()], [[arm.total] for arm in arms.values()]
        return cls.of_sums(tuple(arms), (column,), n, totals, {(column, column): squares})

    @classmethod
    def empty(cls, arms: Sequence[str], columns: Sequence[str]) -> CrossMoments:
        """Return the row of no units: what a merge starts from."""
        shape = (len(arms), len(columns))
        return cls(tuple(arms), tuple(columns), np.zeros(shape[0]), np.zeros(shape), np.zeros((*shape, shape[1])))

    def moments(self, arm: str, column: str) -> Moments:
        """Return one column of one arm as `Moments`; `squares` is None where the source did not give it.

        Raises:
            ValueError: There is no such arm or column, or its sum is too large to be known.
        """
        at, place = self._arm(arm), self.place(column)
        squares = float(self.products[at, place, place])
        return Moments(round(self.n[at]), float(self.totals[at, place]), None if np.isnan(squares) else squares)

    def covariance(self, arm: str, one: str, other: str) -> float:
        """Return the unbiased covariance of two columns within an arm (the variance, for a column with itself).

        Raises:
            ValueError: No such arm or column, fewer than two units, or the pair's sum of products is unknown.
        """
        at, first, second = self._arm(arm), self.place(one), self.place(other)
        if self.n[at] <= 1:
            raise ValueError("a covariance needs n of at least 2")
        product = float(self.products[at, first, second])
        if np.isnan(product):
            raise ValueError(f"products of ({one}, {other}) are needed for a covariance: send Σxy of the pair")
        expected = float(self.totals[at, first] * self.totals[at, second] / self.n[at])
        return (product - expected) / (float(self.n[at]) - 1)

    def select(self, columns: Sequence[str]) -> CrossMoments:
        """Return the row restricted to some columns, in the order asked for."""
        places = [self.place(column) for column in columns]
        cells = self.products[:, places][:, :, places]
        return CrossMoments(self.arms, tuple(columns), self.n, self.totals[:, places], cells)

    def taken(self, sets: Sequence[Sequence[str]]) -> Sums:
        """Return the sums of some columns, for several sets of equally many at once.

        Raises:
            ValueError: There is no such column.
        """
        places = np.array([[self.place(column) for column in columns] for columns in sets], int)
        products = self.products[:, places[:, :, None], places[:, None, :]]
        n = np.broadcast_to(self.n, (len(sets), len(self.n)))
        return Sums(n, self.totals[:, places].swapaxes(0, 1), products.swapaxes(0, 1))

    def described(self, columns: Sequence[str]) -> tuple[Floats, Floats]:
        """Return means, shape (arms, columns), and unbiased covariances, shape (arms, columns, columns).

        See `Sums.described`. One column may be named several times.

        Raises:
            ValueError: There is no such column.
        """
        means, covariances = self.taken([columns]).described()
        return means[0], covariances[0]

    @property
    def means(self) -> Floats:
        """Means of all columns; see `described`."""
        return self.described(self.columns)[0]

    @property
    def covariances(self) -> Floats:
        """Covariances of all columns; see `described`."""
        return self.described(self.columns)[1]

    def place(self, column: str) -> int:
        """Return the index of a column.

        Raises:
            ValueError: There is none of that name.
        """
        if column not in self.columns:
            raise ValueError(f"column {column} is unknown; there are {', '.join(self.columns)}")
        return self.columns.index(column)

    def _arm(self, arm: str) -> int:
        if arm not in self.arms:
            raise ValueError(f"arm {arm} is unknown; there are {', '.join(self.arms)}")
        return self.arms.index(arm)
