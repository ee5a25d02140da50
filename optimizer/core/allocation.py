"""Which unit sees which variant: a pure function of a seed and the unit, so nothing has to be looked up.

A unit's *point* is a keyed BLAKE2b hash of it (RFC 7693; `hashlib`), read as a number in [0, 1). The key is made of
the experiment's seed, so that two experiments split the same people independently: a keyed cryptographic hash is a
pseudorandom function, which is not known of the faster hashes that testing tools commonly use, and one call takes
about a microsecond. What the point is for (taking part, the split, a namespace, a holdout) goes into the hash's
`person` parameter, so that growing one never stirs another.

**Who moves when weights change.** Turning a split p into a split q has to move at least the share ½·Σ|p − q| of the
units (their total variation distance: the coupling inequality). No rule that looks at p or at q alone reaches that
for every pair of three and more variants (Moulton and Jiang, "Maximally Consistent Sampling and the Jaccard Index of
Probability Distributions", ICDM 2018), so `resplit` looks at both: every variant keeps what it may, and only what
must change hands does. That is the optimum, exactly.

**Who moves when the allocation grows.** Nobody: taking part is `point < allocation` on a hash of its own.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Purpose = Literal["taking part", "split", "namespace", "holdout"]
_BYTES = 8
_SPARE_BITS = 11  # of 64; 53 bits are what a float holds exactly
_UNIT = 2.0**-53


class Points:
    """The points of units under one seed, for one purpose.

    Args:
        seed: Any text; another seed gives points that have nothing to do with these.
        purpose: What the points are for.
    """

    def __init__(self, seed: str, purpose: Purpose) -> None:
        key = hashlib.blake2b(seed.encode(), digest_size=hashlib.blake2b.MAX_KEY_SIZE).digest()
        self._begun = hashlib.blake2b(digest_size=_BYTES, key=key, person=purpose.encode())

    def of(self, unit: str) -> float:
        """Return a unit's point in [0, 1), uniform over units."""
        hashed = self._begun.copy()
        hashed.update(unit.encode())
        return (int.from_bytes(hashed.digest(), "big") >> _SPARE_BITS) * _UNIT

    def of_many(self, units: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return the points of many units, in their order."""
        return np.fromiter((self.of(unit) for unit in units), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Split:
    """Ranges of [0, 1) and whose they are; a variant may have several.

    Attributes:
        ends: Where each range ends, rising, the last at 1.
        variants: Whose it is.
    """

    ends: tuple[float, ...]
    variants: tuple[str, ...]

    def variant(self, point: float) -> str:
        """Return the variant at a point."""
        return self.variants[min(bisect_right(self.ends, point), len(self.ends) - 1)]

    def variants_of(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
        """Return the variants at many points."""
        places = np.searchsorted(np.asarray(self.ends), points, side="right")
        return np.asarray(self.variants)[np.minimum(places, len(self.ends) - 1)]


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each variant of positive weight; they sum to 1.

    Args:
        weights: Variant to weight ≥ 0, in any scale.

    Raises:
        ValueError: `weights` holds none above 0, or one below.
    """
    largest = max(weights.values(), default=0.0)
    if largest <= 0 or min(weights.values()) < 0:
        raise ValueError("weights must be 0 or more, and one above 0")
    scaled = {variant: weight / largest for variant, weight in weights.items()}  # so that huge ones cannot overflow
    total = sum(scaled.values())
    return {variant: weight / total for variant, weight in scaled.items() if weight > 0}


def split(weights: Mapping[str, float]) -> Split:
    """Split [0, 1) in proportion to weights, one range a variant, in the order given.

    Raises:
        ValueError: See `shares`.
    """
    found = shares(weights)
    ends = tuple(min(float(end), 1.0) for end in np.cumsum(list(found.values()))[:-1])
    return Split((*ends, 1.0), tuple(found))


def resplit(before: Split, weights: Mapping[str, float]) -> Split:
    """Give a split other weights and move the fewest points: ½·Σ|p − q| of them, the least there can be.

    Args:
        before: The split that units know.
        weights: The weights from now on; variants may come and go.

    Raises:
        ValueError: See `shares`.
    """
    wanted = shares(weights)
    kept: list[tuple[float, float, str]] = []
    free: list[tuple[float, float]] = []
    missing = dict(wanted)
    start = 0.0
    for end, variant in zip(before.ends, before.variants, strict=True):
        keeps = min(end - start, missing.get(variant, 0.0))
        kept_to = end if keeps == end - start else start + keeps  # the sum may round beyond the end
        if keeps > 0:
            kept.append((start, kept_to, variant))
            missing[variant] -= keeps
        if kept_to < end:
            free.append((kept_to, end))
        start = end
    return _joined(sorted([*kept, *_handed_out(free, missing)]))


def _handed_out(
    free: Sequence[tuple[float, float]], missing: Mapping[str, float]
) -> Iterable[tuple[float, float, str]]:
    takers = [(variant, lacks) for variant, lacks in missing.items() if lacks > 0]
    taker = 0
    for start, end in free:
        place = start
        while place < end and takers:
            variant, lacks = takers[taker]
            last = taker == len(takers) - 1  # takes what rounding leaves over
            taken = end - place if last else min(lacks, end - place)
            reached = end if taken == end - place else min(place + taken, end)
            yield place, reached, variant
            place = reached
            takers[taker] = (variant, lacks - taken)
            if taken >= lacks and not last:
                taker += 1


def _joined(ranges: Sequence[tuple[float, float, str]]) -> Split:
    ends: list[float] = []
    variants: list[str] = []
    for _, end, variant in ranges:
        if variants and variants[-1] == variant:
            ends[-1] = end
        else:
            ends.append(end)
            variants.append(variant)
    return Split((*ends[:-1], 1.0), tuple(variants))
