"""How much of what was planted in simulated shops the ranking finds, and what a naive one finds in the same shops."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.cli._calibrations import Calibrations, ShopCalibration, calibration_of, put_together
from optimizer.cli._shops import PROJECT, stored_shop
from optimizer.core.signals.advice import EQUIVALENT
from optimizer.sandbox.shop import Shop, ShopDesign, simulate_shop
from optimizer.sandbox.shop_truth import Kind
from optimizer.signals.answers import Signal, SignalsAnswer, SignalsRequest
from optimizer.signals.service import rank_events

WINDOW_DAYS = 30
NO_EFFECT: tuple[Kind, ...] = ("noise", "artefact")


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one planted event in one shop.

    Attributes:
        event: Its name.
        kind: What it was planted as.
        promoted: Whether the ranking promotes it.
        promoted_naively: Whether a with/without table over the whole window has a lift above 1.25.
        flagged: Whether a lift that turns by source or device was flagged.
        lift: Its lift; None where nothing could be compared.
        naive_lift: Infinite where nobody converted without it; None without either.
        covers_one: For events that do nothing: whether the lift's interval holds 1.
        interval: Of the lift.
    """

    event: str
    kind: Kind
    promoted: bool
    promoted_naively: bool
    flagged: bool
    lift: float | None
    naive_lift: float | None
    covers_one: bool | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Scored:
    """One shop's score.

    Attributes:
        found: One per planted event that was seen.
        calibration: Of values in held-out weeks; None where history is too short.
    """

    found: tuple[Found, ...]
    calibration: ShopCalibration | None


@dataclass(frozen=True, slots=True)
class Lifts:
    """One event's lifts over shops.

    Attributes:
        kind: What it was planted as.
        low: 5% of shops have a lift below.
        median: Half of them have.
        high: 95% have.
        naive: Median of the naive lifts; None where nobody converts without it.
    """

    kind: Kind
    low: float
    median: float
    high: float
    naive: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Many shops' scores.

    Attributes:
        promoted: Per kind, the share of (shop, event) pairs that were promoted; duplicates count per shop, as whether
            any was.
        promoted_naively: The same by naive lifts.
        several_duplicates: Share of shops in which more than one name of one intent was promoted.
        several_duplicates_naively: The same by naive lifts.
        flagged: Share of planted Simpson reversals that were flagged.
        false_share: Mean over shops of promoted events without effect ÷ promoted events: the false discovery rate.
        coverage: Share of intervals of events without effect that hold 1.
        coverages_of_one: The same for each of those events.
        coverages: Per event with a reference lift, the share of intervals that hold it.
        calibrations: Of values in held-out weeks; None without any.
        lifts: Per event that could be compared.
    """

    promoted: dict[str, float]
    promoted_naively: dict[str, float]
    several_duplicates: float
    several_duplicates_naively: float
    flagged: float
    false_share: float
    coverage: float
    coverages_of_one: dict[str, float]
    coverages: dict[str, float]
    calibrations: Calibrations | None
    lifts: dict[str, Lifts]


def rank_shop(shop: Shop, design: ShopDesign) -> SignalsAnswer:
    """Rank a simulated shop's events, all windows elapsed."""
    store = stored_shop(shop)
    try:
        now = design.first_monday + dt.timedelta(days=design.days + WINDOW_DAYS)
        request = SignalsRequest(goal=shop.goal, window_days=WINDOW_DAYS)
        return rank_events(store, PROJECT, request, {}, now=now)
    finally:
        store.close()


def score_shop(design: ShopDesign, seed: int) -> Scored:
    """Open a shop, rank its events, and compare with what was planted."""
    shop = simulate_shop(design, seed)
    answer = rank_shop(shop, design)
    found = tuple(_found(shop, signal) for signal in answer.signals)
    return Scored(found, calibration_of(answer.calibration))


def summarise(shops: Sequence[Scored], reference: Mapping[str, float]) -> Summary:
    """Sum many shops up.

    Args:
        shops: At least one.
        reference: Lifts that intervals ought to cover, by event, as they are in a shop without end.
    """
    every = [found for shop in shops for found in shop.found]
    kinds = sorted({found.kind for found in every})
    return Summary(
        promoted={kind: _share(_promotions(shops, kind, naive=False)) for kind in kinds},
        promoted_naively={kind: _share(_promotions(shops, kind, naive=True)) for kind in kinds},
        several_duplicates=_share(sum(_duplicates(shop, naive=False)) > 1 for shop in shops),
        several_duplicates_naively=_share(sum(_duplicates(shop, naive=True)) > 1 for shop in shops),
        flagged=_share(found.flagged for found in every if found.kind == "simpson"),
        false_share=_mean([_false_share(shop) for shop in shops]),
        coverage=_share(found.covers_one for found in every if found.covers_one is not None),
        coverages_of_one=_coverages_of_one(every),
        coverages={event: _share(_covers(every, event, lift)) for event, lift in reference.items()},
        calibrations=put_together([shop.calibration for shop in shops if shop.calibration is not None]),
        lifts=_lifts(every),
    )


def _found(shop: Shop, signal: Signal) -> Found:
    kind, naive = shop.truth[signal.event].kind, signal.naive
    naive_lift = naive.lift
    if naive_lift is None and naive.rate_with and naive.rate_without == 0:
        naive_lift = math.inf
    interval = signal.lift_interval
    return Found(
        event=signal.event,
        kind=kind,
        promoted=signal.recommendation == "promote",
        promoted_naively=naive_lift is not None and naive_lift > EQUIVALENT.upper,
        flagged=bool(signal.stability and signal.stability.sign_flips),
        lift=signal.lift,
        naive_lift=naive_lift,
        covers_one=interval[0] <= 1 <= interval[1] if interval and kind in NO_EFFECT else None,
        interval=interval,
    )


def _lifts(every: Sequence[Found]) -> dict[str, Lifts]:
    lifts = {}
    for event in sorted({found.event for found in every}):
        own = [found for found in every if found.event == event]
        ours = [found.lift for found in own if found.lift is not None]
        naive = float(np.median([found.naive_lift for found in own if found.naive_lift is not None] or [math.inf]))
        if ours:
            low, median, high = np.quantile(ours, [0.05, 0.5, 0.95]).tolist()
            lifts[event] = Lifts(own[0].kind, low, median, high, naive if math.isfinite(naive) else None)
    return lifts


def _promotions(shops: Sequence[Scored], kind: str, *, naive: bool) -> list[bool]:
    if kind == "duplicate":
        return [any(_duplicates(shop, naive=naive)) for shop in shops]
    of_kind = [found for shop in shops for found in shop.found if found.kind == kind]
    return [found.promoted_naively if naive else found.promoted for found in of_kind]


def _duplicates(shop: Scored, *, naive: bool) -> list[bool]:
    names = [found for found in shop.found if found.kind == "duplicate"]
    return [found.promoted_naively if naive else found.promoted for found in names]


def _false_share(shop: Scored) -> float:
    promoted = [found.kind for found in shop.found if found.promoted]
    return sum(kind in NO_EFFECT for kind in promoted) / max(1, len(promoted))


def _coverages_of_one(every: Sequence[Found]) -> dict[str, float]:
    harmless = sorted({found.event for found in every if found.covers_one is not None})
    return {event: _share(_covers(every, event, 1.0)) for event in harmless}


def _covers(every: Iterable[Found], event: str, lift: float) -> list[bool]:
    intervals = [found.interval for found in every if found.event == event and found.interval]
    return [low <= lift <= high for low, high in intervals]


def _share(holds: Iterable[bool | None]) -> float:
    return _mean([float(bool(one)) for one in holds])


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
