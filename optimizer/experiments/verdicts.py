"""What a proxy said of the goal, held against what the goal did once its own result had matured.

The proxy is judged as it would have been without the test itself. One comparison of each test counts, the one that
the proxy spoke of most clearly, because arms that share a control are not independent answers.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import NamedTuple

import numpy as np
from sqlmodel import Session

from optimizer.core.proxies.assessment import assess
from optimizer.core.proxies.corpus import Corpus
from optimizer.core.proxies.prediction import chance_of_agreement, forecast_goal, forecast_measurement
from optimizer.experiments.metrics import get_metric
from optimizer.signals.history import History, read_history
from optimizer.storage.tables import Experiment, PastExperiment, ProxyVerdict

CLEAR = 1.96  # standard errors at which a goal that goes the other way contradicts its proxy


class _Said(NamedTuple):
    """What was to be expected of the goal.

    Attributes:
        rising: Whether it was said to rise.
        basis: past_experiments or assumed_equal.
        estimate: Of its true effect.
        interval: Of its measured effect.
        chance: Of agreement with what is measured.
    """

    rising: bool
    basis: str
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    chance: float | None = None


def record_verdict(session: Session, experiment: Experiment, past: PastExperiment, *, now: dt.datetime) -> None:
    """Add what the primary metric said of the goal and what the goal did; nothing where there is no such pair.

    Args:
        session: An open session; the experiment is not in its history yet.
        experiment: The experiment, with a goal that is not its primary metric.
        past: Its sums.
        now: When its goal matured.
    """
    proxy, goal = experiment.primary_metric, experiment.goal_metric
    if goal is None or goal == proxy or not {proxy, goal} <= set(past.metrics):
        return
    corpus = History((past,)).corpus(proxy, goal)
    if corpus is None or (corpus.noise[:, [0, 1], [0, 1]] <= 0).any():
        return
    place = int(np.argmax(np.abs(corpus.effects[:, 0]) / np.sqrt(corpus.noise[:, 0, 0])))
    (proxy_effect, goal_effect), noise = corpus.effects[place].tolist(), corpus.noise[place]
    history = read_history(session, experiment.project_id, without=experiment.key)
    alike = len({get_metric(session, experiment.project_id, key).direction for key in (proxy, goal)}) == 1
    said = _said(history.corpus(proxy, goal), proxy_effect, noise, corpus.weights[place], alike=alike)
    agreed = goal_effect != 0 and said.rising == (goal_effect > 0)
    error = math.sqrt(noise[1, 1])
    low, high = said.interval or (None, None)
    session.add(
        ProxyVerdict(
            project_id=experiment.project_id,
            experiment_id=experiment.id or 0,
            variant=past.arms[place + 1]["key"],
            proxy=proxy,
            goal=goal,
            basis=said.basis,
            proxy_effect=proxy_effect,
            proxy_error=math.sqrt(noise[0, 0]),
            forecast=said.estimate,
            forecast_low=low,
            forecast_high=high,
            goal_effect=goal_effect,
            goal_error=error,
            agreed=agreed,
            contradicted=not agreed and abs(goal_effect) > CLEAR * error,
            covered=None if low is None or high is None else low <= goal_effect <= high,
            chance=said.chance,
            matured_at=now,
        )
    )


def _said(corpus: Corpus | None, proxy_effect: float, noise: np.ndarray, weight: float, *, alike: bool) -> _Said:
    unlearned = _Said((proxy_effect > 0) == alike, "assumed_equal")
    if corpus is None or assess(corpus, 4 * weight, np.random.default_rng(0)).status != "ok":
        return unlearned
    truth, measured = (
        forecast_goal(corpus, proxy_effect, noise[0, 0]),
        forecast_measurement(corpus, proxy_effect, noise),
    )
    if truth is None or measured is None:
        return unlearned
    chance = chance_of_agreement(corpus, proxy_effect, noise)
    return _Said(
        truth.estimate > 0,
        "past_experiments",
        truth.estimate,
        (measured.interval.lower, measured.interval.upper),
        chance,
    )
