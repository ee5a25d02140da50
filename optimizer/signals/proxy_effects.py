"""Past effects of one proxy and the goal side by side, with what is noise in each: what a picture of them needs."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.core.naming import canonical_name
from optimizer.core.proxies.corpus import Corpus
from optimizer.errors import NotFoundError
from optimizer.signals.proxies import assess_pair, goal_and_history
from optimizer.signals.proxy_shapes import EffectPoint, EffectsAnswer, PairRequest
from optimizer.signals.scores import judged_tests
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import PastExperiment

ANY_SIZE = 10_000  # the figures used here do not depend on a new test's size


def show_effects(control: ControlStore, project_id: int, proxy: str, request: PairRequest) -> EffectsAnswer:
    """Return past effects of one proxy and the goal, for a picture.

    Raises:
        NotFoundError: The goal is unknown, or no past experiment measured both.
        InvalidInputError: `without` names no experiment.
    """
    with control.reading() as session:
        goal, history = goal_and_history(session, project_id, request)
        name = proxy if proxy in history.metrics() else canonical_name(proxy)
        tests = judged_tests(session, project_id, name, goal)
    both = history.measuring(name, goal)
    corpus = both.corpus(name, goal)
    found = assess_pair(both, name, goal, ANY_SIZE) if name != goal else None
    if corpus is None or found is None:
        raise NotFoundError("No past experiment measured both. GET /v1/signals/proxies?goal=… lists the candidates.")
    slope = found.slope
    return EffectsAnswer(
        goal=goal,
        proxy=name,
        status=found.status,
        detail=found.detail,
        experiments=found.experiments,
        mean=None if found.mean is None else (float(found.mean[0]), float(found.mean[-1])),
        slope=float(slope.estimate[0]) if slope else None,
        slope_interval=(slope.interval.lower, slope.interval.upper) if slope else None,
        naive_slope=found.naive.slope,
        points=_points(both.experiments, corpus),
        tests=tests,
    )


def _points(past: Sequence[PastExperiment], corpus: Corpus) -> list[EffectPoint]:
    named = [(one, arm["key"]) for one in past for arm in one.arms[1:]]
    return [
        EffectPoint(
            experiment=one.key,
            variant=variant,
            change=one.change,
            proxy_effect=float(effect[0]),
            goal_effect=float(effect[1]),
            proxy_variance=float(noise[0, 0]),
            goal_variance=float(noise[1, 1]),
            covariance=float(noise[0, 1]),
            stopped_early=one.stopped_early,
        )
        for (one, variant), effect, noise in zip(named, corpus.effects, corpus.noise, strict=True)
    ]
