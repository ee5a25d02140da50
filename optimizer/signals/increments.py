"""Out-of-fold logistic models: what each event adds to activity, recency, source, device and the other events.

Folds never share a unit, and penalties keep a model from learning the sample by heart. Trying an event is cheap (one
coefficient and the intercept move, the rest is an offset); a whole model is fitted only when an event is taken up.
An event is not its own activity: those who did it are compared with those who have done as much else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from optimizer.core.signals.grids import CAPPED_ACTIVITY, activity_level
from optimizer.core.signals.increments import (
    Gain,
    Increment,
    is_redundant,
    is_worth_taking_up,
    lower_bound,
    weighted_auc,
)
from optimizer.core.signals.logistic import fit_ridge
from optimizer.signals.samples import SHARDS, Sample

FOLDS = 4
PENALTY = 1.0
MINIMUM_CONVERTERS = 60
MAXIMUM_TAKEN_UP = 12
NEWTON_STEPS, CLOSE_ENOUGH = 8, 1e-5
RIDGE = 1.0
Array = NDArray[np.float64]
Integers = NDArray[np.int64]
ACTIVITY_LEVELS = np.array([activity_level(events) for events in range(CAPPED_ACTIVITY + 1)])


@dataclass(frozen=True, slots=True)
class _Data:
    """The sample as matrices.

    Attributes:
        base: An intercept and one-hot columns of recency, period, source and device; shape (rows, columns).
        activity: Events so far, capped.
        events: 0/1 per event; shape (events, rows).
        units: Weight of each row.
        converts: Of those, how many convert.
        fold: 0 to 3.
        shard: 0 to 15.
    """

    base: Array
    activity: Integers
    events: Array
    units: Array
    converts: Array
    fold: Integers
    shard: Integers

    def levels(self, places: Sequence[int]) -> Integers:
        """Return the level of activity of each row, these events themselves not being activity."""
        others = self.activity - self.events[list(places)].sum(0).astype(np.int64)
        # Who did nothing else is seldom seen, and is put with those who did one other thing.
        levels: Integers = np.maximum(ACTIVITY_LEVELS[np.maximum(others, 0)], 1)
        return levels


@dataclass(frozen=True, slots=True)
class _Model:
    """A model per fold, from the rows outside it.

    Attributes:
        taken_up: Places of the events in it.
        rest: Log-odds of every row without activity's part: [fold, row].
        activity: Log-odds of each level of activity: [fold, level].
    """

    taken_up: tuple[int, ...]
    rest: Array
    activity: Array


def measure_increments(
    sample: Sample, names: Sequence[str], candidates: Sequence[str], conditions: Sequence[str]
) -> dict[str, Increment]:
    """Take events up one by one and say what each adds.

    Args:
        sample: Rows of sampled units.
        names: All events, in the order of their bits.
        candidates: Those that may be taken up.
        conditions: Those whose increment is asked for; candidates are among them.

    Returns:
        Per condition; empty where the sample holds fewer than 60 converters.
    """
    if sample.converts.sum() < MINIMUM_CONVERTERS or len(np.unique(sample.shard)) < FOLDS:
        return {}
    data = _matrices(sample, len(names))
    places = {name: place for place, name in enumerate(names)}
    model = _fit(data, ())
    alone = {name: _try(data, model, places[name]) for name in conditions}
    taken_up: list[str] = []
    while len(taken_up) < MAXIMUM_TAKEN_UP:
        gains = {name: _try(data, model, places[name]) for name in candidates if name not in taken_up}
        worth = {name: gain for name, gain in gains.items() if is_worth_taking_up(gain, alone[name])}
        if not worth:
            break
        taken_up.append(max(worth, key=lambda name: (worth[name].log_loss, name)))
        model = _fit(data, [places[name] for name in taken_up])
    beyond = {name: _try(data, model, places[name]) for name in conditions if name not in taken_up}
    for name in taken_up:
        without = _fit(data, [places[other] for other in taken_up if other != name])
        beyond[name] = _try(data, without, places[name])
    covered = {
        name: _covering(data, places, name, taken_up)
        for name in conditions
        if name not in taken_up and is_redundant(beyond[name], alone[name])
    }
    return {
        name: Increment(alone[name], beyond[name], taken_up=name in taken_up, covered_by=covered.get(name))
        for name in conditions
    }


def _matrices(sample: Sample, events: int) -> _Data:
    columns = [_one_hot(values, np.unique(values)) for name, values in sample.features.items() if name != "activity"]
    return _Data(
        base=np.column_stack([np.ones(len(sample.done)), *columns]),
        activity=sample.features["activity"],
        events=np.array([(sample.done >> place) & 1 for place in range(events)], float),
        units=sample.units,
        converts=sample.converts,
        fold=sample.shard % FOLDS,
        shard=sample.shard,
    )


def _one_hot(values: Integers, kinds: Integers) -> Array:
    # One column per kind but the most frequent one.
    counts = np.array([(values == kind).sum() for kind in kinds])
    rare = kinds[np.arange(len(kinds)) != counts.argmax()]
    return np.column_stack([(values == kind).astype(float) for kind in rare] or [np.zeros((len(values), 0))])


def _fit(data: _Data, taken_up: Sequence[int]) -> _Model:
    # Trying an event on top needs the log-odds of the rows that were trained on too.
    levels = data.levels(taken_up)
    kinds = np.unique(levels)[1:]  # the lowest is the reference
    parts = [data.base, data.events[list(taken_up)].T, *((levels == kind).astype(float)[:, None] for kind in kinds)]
    design = sparse.hstack([sparse.csr_array(part) for part in parts], format="csr")
    own, scale = design.shape[1] - len(kinds), len(data.units) / data.units.sum()
    rest, activity = np.empty((FOLDS, len(data.units))), np.zeros((FOLDS, int(ACTIVITY_LEVELS.max()) + 1))
    for fold in range(FOLDS):
        seen = data.fold != fold
        # Scaled so that the penalty does not depend on how densely was sampled.
        estimates = fit_ridge(design[seen], data.units[seen] * scale, data.converts[seen] * scale, PENALTY)
        rest[fold] = design[:, :own] @ estimates[:own]
        activity[fold, kinds] = estimates[own:]
    return _Model(tuple(taken_up), rest, activity)


def _try(data: _Data, model: _Model, place: int) -> Gain:
    event, levels = data.events[place], data.levels([*model.taken_up, place])
    before, after = np.empty(len(event)), np.empty(len(event))
    for fold in range(FOLDS):
        held_out, offset = data.fold == fold, model.rest[fold] + model.activity[fold, levels]
        without, _ = _two_coefficients(offset, np.zeros(len(event)), data, ~held_out)
        shift, effect = _two_coefficients(offset, event, data, ~held_out)
        before[held_out] = offset[held_out] + without
        after[held_out] = offset[held_out] + shift + effect * event[held_out]
    saved = _loss(before, data) - _loss(after, data)
    weights = np.bincount(data.shard, data.units, minlength=SHARDS).astype(float)
    per_shard = np.bincount(data.shard, saved, minlength=SHARDS) / np.maximum(weights, 1e-12)
    mean, lower = lower_bound(per_shard, weights)
    rise = weighted_auc(after, data.units, data.converts) - weighted_auc(before, data.units, data.converts)
    return Gain(log_loss=mean, lower=lower, auc=rise)


def _two_coefficients(offset: Array, event: Array, data: _Data, seen: NDArray[np.bool_]) -> tuple[float, float]:
    # Newton's method on the intercept and the event's own coefficient, with a small ridge.
    offset, event = offset[seen], event[seen]
    units, converts = data.units[seen], data.converts[seen]
    done = event > 0
    shift, effect = 0.0, 0.0
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-(offset + shift + effect * event)))
        spread = units * chance * (1 - chance)
        rest = converts - units * chance
        slope_shift, slope_effect = float(rest.sum()), float(rest[done].sum()) - RIDGE * effect
        a, b = float(spread.sum()), float(spread[done].sum())
        determinant = a * (b + RIDGE) - b * b
        if determinant <= 0:
            break
        step = ((b + RIDGE) * slope_shift - b * slope_effect) / determinant
        further = (a * slope_effect - b * slope_shift) / determinant
        shift, effect = shift + step, effect + further
        if max(abs(step), abs(further)) < CLOSE_ENOUGH:
            break
    return shift, effect


def _loss(log_odds: Array, data: _Data) -> Array:
    nats = data.units * np.logaddexp(0, log_odds) - data.converts * log_odds
    bits: Array = nats / math.log(2)
    return bits


def _covering(data: _Data, places: Mapping[str, int], name: str, taken_up: Sequence[str]) -> str | None:
    # Of the events taken up, the one that goes together with this one most: φ of having done both.
    if not taken_up:
        return None
    total = data.units.sum()

    def together(other: str) -> float:
        one, two = data.events[places[name]], data.events[places[other]]
        p, q = float((data.units * one).sum() / total), float((data.units * two).sum() / total)
        both = float((data.units * one * two).sum() / total)
        spread = math.sqrt(max(p * (1 - p) * q * (1 - q), 1e-300))
        return (both - p * q) / spread

    return max(taken_up, key=together)
