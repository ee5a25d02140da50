"""What a proxy's effect in a running experiment says of the goal, by past experiments where they suffice.

Where they do not, the goal is taken to move alike, which the basis calls an assumption. Once the goal has a result of
its own it stands beside, and how often the proxy was right before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.core.proxies.assessment import Assessment, assess
from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.prediction import GoalForecast as Forecast
from optimizer.core.proxies.prediction import forecast_goal as forecast_by
from optimizer.core.stats.comparison import Case, Comparison
from optimizer.experiments.answers import GoalForecast
from optimizer.signals.history import History, read_history
from optimizer.signals.proxies import SEED
from optimizer.signals.proxy_shapes import ScoreAnswer
from optimizer.signals.scores import read_scores
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import Experiment

ASSUMED_EQUAL = (
    "assumed_equal: the goal is taken to move by the same share as the primary metric, which is optimistic and "
    "nothing in this test shows"
)
ENOUGH_CONVERTERS = 100  # of the control, for its own rate to be what effects are relative to


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of an experiment's proxy and goal from others.

    Attributes:
        corpus: Past comparisons on (proxy, goal), without the experiment itself; None where there are none.
        goal_mean: Of the goal in past controls.
        score: How often the proxy was right.
    """

    corpus: Corpus | None = None
    goal_mean: float | None = None
    score: ScoreAnswer | None = None


def learn(control: ControlStore, experiment: Experiment) -> Learned:
    """Read what past experiments say of an experiment's proxy and goal."""
    proxy, goal = experiment.primary_metric, experiment.goal_metric
    if goal is None or goal == proxy:
        return Learned()
    with control.reading() as session:
        history = read_history(session, experiment.project_id, without=experiment.key).measuring(proxy, goal)
        score = read_scores(session, experiment.project_id, goal).get(proxy)
    return Learned(history.corpus(proxy, goal), _mean_of(history, goal), score)


def forecast_goal(
    experiment: Experiment,
    primary: Sequence[Comparison],
    goal: Sequence[Comparison],
    goal_case: Case | None,
    learned: Learned,
    *,
    alike: bool = True,
) -> GoalForecast | None:
    """Say what the best variant's effect means for the goal; None without a goal or before there is an effect.

    Args:
        experiment: The design.
        primary: Comparisons on the primary metric.
        goal: Comparisons on the goal metric; empty where it has none.
        goal_case: The goal's sums; None where counts cannot give them.
        learned: What others say of the two.
        alike: Whether the same direction is good for both; else what is assumed of the goal goes the other way.
    """
    if experiment.goal_metric is None or experiment.goal_metric == experiment.primary_metric:
        return None
    shown = [found for found in primary if found.status == "ok" and found.relative is not None]
    if not shown:
        return None
    best = min(shown, key=lambda found: (not found.significant, found.p_value or 1 - (found.chance_to_win or 0)))
    own = next((found for found in goal if found.variant == best.variant and found.status == "ok"), None)
    said = _by_the_past(best, goal_case, learned) or _assumed(best, learned, alike=alike)
    measured, bounds = (own.relative, own.relative_interval) if own is not None else (None, None)
    return said.model_copy(
        update={
            "variant": best.variant,
            "measured": measured,
            "measured_interval": (bounds.lower, bounds.upper) if bounds else None,
            "agrees": (measured > 0) == (said.relative > 0) if measured else None,
            "score": learned.score.sentence if learned.score else "",
        }
    )


def _by_the_past(best: Comparison, goal_case: Case | None, learned: Learned) -> GoalForecast | None:
    found = _assessed(best, learned)
    mean = _control_mean(goal_case) or learned.goal_mean
    if found is None or found.status != "ok" or learned.corpus is None or mean is None or mean <= 0:
        return None
    assert best.absolute is not None  # noqa: S101 - an assessment needs them
    assert best.standard_error is not None  # noqa: S101 - likewise
    forecast = forecast_by(learned.corpus, best.absolute, best.standard_error**2)
    return None if forecast is None else _relative(forecast, mean, found)


def _relative(forecast: Forecast, mean: float, found: Assessment) -> GoalForecast:
    low, high = forecast.interval
    return GoalForecast(
        relative=forecast.estimate / mean,
        interval=(low / mean, high / mean),
        basis=f"past_experiments: {found.detail} 95% prediction interval, relative to {mean:.4g} in the control",
        absolute=forecast.estimate,
        absolute_interval=(low, high),
        chance_positive=forecast.chance_positive,
        experiments=found.experiments,
    )


def _assumed(best: Comparison, learned: Learned, *, alike: bool) -> GoalForecast:
    relative = (best.relative if best.shrunk_relative is None else best.shrunk_relative) or 0.0
    interval = (best.relative_interval.lower, best.relative_interval.upper) if best.relative_interval else None
    if not alike:
        relative = -relative
        interval = (-interval[1], -interval[0]) if interval else None
    found = _assessed(best, learned)
    why = f". Past experiments do not say: {found.detail}" if found is not None else ""
    return GoalForecast(relative=relative, interval=interval, basis=f"{ASSUMED_EQUAL}{why}")


def _assessed(best: Comparison, learned: Learned) -> Assessment | None:
    if learned.corpus is None or best.absolute is None or not best.standard_error:
        return None
    # Two equal arms whose effect is as precise as this one's: what quality is judged at.
    variance = float(learned.corpus.unit_covariance[0, 0])
    units = 4 * variance / best.standard_error**2 if variance > 0 else 1.0
    return assess(learned.corpus, units, np.random.default_rng(SEED))


def _control_mean(case: Case | None) -> float | None:
    if case is None or case.measure.family in {"ratio", "quantile"}:
        return None
    total, n = float(case.row.totals[0, case.row.place(case.measure.value)]), float(case.row.n[0])
    return total / n if n and total >= ENOUGH_CONVERTERS else None


def _mean_of(history: History, metric: str) -> float | None:
    controls = [(one.arms[0], one.metrics.index(metric)) for one in history.experiments if one.arms]
    units = sum(arm["n"] for arm, _ in controls)
    return sum(arm["sums"][place] for arm, place in controls) / units if units else None
