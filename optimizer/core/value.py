"""What to say a person is worth once they did an event: predicted from people before them, one value a person.

Three events of one person are not three purchases. So the events that are reported form a ladder, ordered by what
those who did them brought. A person stands on the highest rung reached, and a rung's value is what people who got
*no further* brought. Whoever climbs is worth the difference more: the sum told about a person is what people who went
as far brought, and the sum told about everybody is what everybody brought. A step that every buyer passes on the way
to another reported step therefore carries little: the later step carries it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from optimizer.core.stats.effects import Interval

ALPHA = 0.05
BAND = Interval(0.9, 1.1)
Z = float(-special.ndtri(ALPHA / 2))
SMALLEST = 1e-12
MINIMUM_GROUP = 20  # people of one source on one rung


@dataclass(frozen=True, slots=True)
class Cell:
    """People who did the same events, came from the same source, and did the first of them in the same week.

    Attributes:
        week: Number of the week.
        source: Where they came from.
        done: Places of the events they did before they reached the goal.
        units: How many.
        value: Σ of what each brought within the window.
        squares: Σ of its squares.
    """

    week: int
    source: str
    done: frozenset[int]
    units: int
    value: float
    squares: float


class Sums(NamedTuple):
    """n, Σv and Σv² of people."""

    units: int = 0
    value: float = 0.0
    squares: float = 0.0

    def plus(self, cell: Cell) -> Sums:
        """Add a cell."""
        return Sums(self.units + cell.units, self.value + cell.value, self.squares + cell.squares)

    @property
    def mean(self) -> float:
        """Value per person; 0 of nobody."""
        return self.value / self.units if self.units else 0.0

    @property
    def deviations(self) -> float:
        """Σ(v − mean)²."""
        return max(0.0, self.squares - self.value * self.mean)

    @property
    def lower_bound(self) -> float | None:
        """One-sided 97.5% lower bound of the mean; None of fewer than two."""
        if self.units < 2:  # noqa: PLR2004 - no variance from one
            return None
        return self.mean - Z * math.sqrt(self.deviations / (self.units - 1) / self.units)


@dataclass(frozen=True, slots=True)
class Ladder:
    """What each rung is worth.

    Attributes:
        order: Places of the events, the least telling first.
        overall: Value of each rung, whatever the source; never falls.
        by_source: The same per source, drawn towards `overall` as far as sources do not really differ.
    """

    order: tuple[int, ...]
    overall: tuple[float, ...]
    by_source: Mapping[str, tuple[float, ...]]

    def value(self, place: int, source: str | None) -> float:
        """Return what a person is worth whose highest rung is this event; unknown sources get the overall value."""
        rung = self.order.index(place)
        return self.by_source.get(source or "", self.overall)[rung]

    def rung(self, done: Iterable[int]) -> int:
        """Return the highest rung among events done; at least one must be."""
        return max(self.order.index(place) for place in done)


class Check(NamedTuple):
    """Predictions held against what people of later weeks brought.

    Attributes:
        units: People.
        predicted: Σ predicted.
        actual: Σ brought.
        ratio: actual / predicted; None when nothing was predicted.
        ratio_interval: At 95%.
        slope: Of what each brought on what was predicted; None where all predictions are the same.
        slope_interval: At 95%, with heteroscedasticity-consistent errors (White 1980).
    """

    units: int
    predicted: float
    actual: float
    ratio: float | None
    ratio_interval: Interval | None
    slope: float | None
    slope_interval: Interval | None

    @property
    def is_off(self) -> bool:
        """Whether the slope or the ratio is surely outside 0.9 to 1.1."""
        intervals = [one for one in (self.ratio_interval, self.slope_interval) if one is not None]
        return any(one.upper < BAND.lower or one.lower > BAND.upper for one in intervals)


def reached(cells: Sequence[Cell], events: int) -> list[Sums]:
    """Sum up, per event, everybody who did it."""
    found = [Sums()] * events
    for cell in cells:
        for place in cell.done:
            found[place] = found[place].plus(cell)
    return found


def learn(cells: Sequence[Cell], events: int) -> Ladder:
    """Learn what each rung is worth.

    Values per source are drawn towards the rung's overall value by σ²/(σ² + n·τ²), with the variance τ² between
    sources from a one-way analysis of variance (Searle, Casella and McCulloch 1992, §3.6); then isotonic regression
    keeps rungs from falling, which leaves every sum as it is; then one factor makes Σ predicted = Σ brought.

    Args:
        cells: People whose window has elapsed.
        events: How many events there are.
    """
    means = [sums.mean for sums in reached(cells, events)]
    order = tuple(sorted(range(events), key=lambda place: (means[place], place)))
    rungs, sources = _by_rung(cells, order)
    overall = _never_falling([sums.mean for sums in rungs], [sums.units for sums in rungs])
    ladders: dict[str, tuple[float, ...]] = {}
    for source in sorted({name for held in sources for name in held}):
        drawn = [_drawn(held, source, sums) for held, sums in zip(sources, rungs, strict=True)]
        weights = [held.get(source, Sums()).units for held in sources]
        ladders[source] = tuple(_never_falling(drawn, weights))
    found = Ladder(order, tuple(overall), ladders)
    predicted = sum(cell.units * _predicted(found, cell) for cell in cells)
    factor = sum(cell.value for cell in cells) / predicted if predicted > 0 else 0.0
    return Ladder(
        order,
        tuple(factor * one for one in overall),
        {source: tuple(factor * one for one in ladder) for source, ladder in ladders.items()},
    )


def check(ladder: Ladder, cells: Sequence[Cell]) -> Check:
    """Hold predictions against what people brought."""
    units = np.array([cell.units for cell in cells], float)
    told = np.array([_predicted(ladder, cell) for cell in cells])
    value = np.array([cell.value for cell in cells])
    squares = np.array([cell.squares for cell in cells])
    total, predicted, actual = float(units.sum()), float((units * told).sum()), float(value.sum())
    ratio = ratio_interval = None
    if predicted > 0:
        ratio = actual / predicted
        # Per person v − ratio·told, squared and summed (the ratio estimator's error, units being what varies).
        left = float((squares - 2 * ratio * told * value + units * (ratio * told) ** 2).sum())
        error = Z * math.sqrt(max(0.0, left)) / predicted
        ratio_interval = Interval(ratio - error, ratio + error)
    slope, slope_interval = _slope(units, told, value, squares)
    return Check(int(total), predicted, actual, ratio, ratio_interval, slope, slope_interval)


def _slope(
    units: np.ndarray, told: np.ndarray, value: np.ndarray, squares: np.ndarray
) -> tuple[float | None, Interval | None]:
    total = units.sum()
    if not total:
        return None, None
    away = told - (units * told).sum() / total
    spread = float((units * away**2).sum())
    if spread <= SMALLEST * float((units * told**2).sum()):
        return None, None
    slope = float((away * value).sum()) / spread
    expected = value.sum() / total + slope * away
    left = np.maximum(0.0, squares - 2 * expected * value + units * expected**2)
    error = Z * math.sqrt(float((away**2 * left).sum())) / spread
    return slope, Interval(slope - error, slope + error)


def _predicted(ladder: Ladder, cell: Cell) -> float:
    return ladder.by_source.get(cell.source, ladder.overall)[ladder.rung(cell.done)]


def _by_rung(cells: Sequence[Cell], order: tuple[int, ...]) -> tuple[list[Sums], list[dict[str, Sums]]]:
    rungs: list[Sums] = [Sums()] * len(order)
    sources: list[dict[str, Sums]] = [{} for _ in order]
    for cell in cells:
        rung = max(order.index(place) for place in cell.done)
        rungs[rung] = rungs[rung].plus(cell)
        sources[rung][cell.source] = sources[rung].get(cell.source, Sums()).plus(cell)
    return rungs, sources


def _drawn(held: Mapping[str, Sums], source: str, rung: Sums) -> float:
    # Few people say neither what their source is worth nor how much sources differ: two who bought nothing would
    # make a source worthless. They get the rung's value.
    telling = {name: sums for name, sums in held.items() if sums.units >= MINIMUM_GROUP}
    own = telling.get(source)
    if own is None or len(telling) < 2:  # noqa: PLR2004 - one source does not differ from itself
        return rung.mean
    people = sum(sums.units for sums in telling.values())
    mean = sum(sums.value for sums in telling.values()) / people
    variance = sum(sums.deviations for sums in telling.values()) / (people - len(telling))
    between = sum(sums.units * (sums.mean - mean) ** 2 for sums in telling.values())
    size = people - sum(sums.units**2 for sums in telling.values()) / people
    apart = max(0.0, (between - (len(telling) - 1) * variance) / size)
    if apart <= 0:
        return rung.mean
    weight = own.units * apart / (own.units * apart + variance)
    return weight * own.mean + (1 - weight) * rung.mean


def _never_falling(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    # Pool adjacent violators; a rung without people leans on its neighbours, and nothing is worth less than 0.
    blocks: list[list[float]] = []  # value, weight, length
    for value, weight in zip(values, weights, strict=True):
        blocks.append([max(0.0, value), max(float(weight), SMALLEST), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last, before = blocks.pop(), blocks.pop()
            weight_of_both = last[1] + before[1]
            mean = (last[0] * last[1] + before[0] * before[1]) / weight_of_both
            blocks.append([mean, weight_of_both, last[2] + before[2]])
    return [block[0] for block in blocks for _ in range(int(block[2]))]
