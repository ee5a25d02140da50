"""Judges every metric of past experiments as a stand-in for a goal, and says how far it can be trusted.

Whether anything is said hangs on the width of an interval, never on a count of experiments. Tests that were stopped
early, changes of other kinds, a risk that the goal moves the other way, and a score that has drifted lower the trust.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.core.proxies.assessment import SIGN_RISK, Assessment, assess, pin_down
from optimizer.core.proxies.covariance import total_covariance
from optimizer.core.proxies.quality import best_mixture
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.signals.history import History, read_history
from optimizer.signals.proxy_shapes import (
    CandidateAnswer,
    ChangeAnswer,
    DecisionValueAnswer,
    ForecastAnswer,
    MixtureAnswer,
    NaiveAnswer,
    PairRequest,
    ProxiesAnswer,
    ProxiesRequest,
    ScoreAnswer,
    StoppingAnswer,
    Trust,
)
from optimizer.signals.scores import read_scores, score_answer
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import EventDefinition, Experiment, Metric, PastExperiment

SEED = 20_230_918  # thinning must not change when the same question is asked again
MOST_MIXED = 5
NOTABLE_SHARE = 0.25  # of past tests, from which on their early stops are worth a warning
USEFUL_SHARE = 0.5  # of the perfect gain


def judge_proxies(control: ControlStore, project_id: int, request: ProxiesRequest) -> ProxiesAnswer:
    """Judge every metric that past experiments measured beside a goal.

    Raises:
        NotFoundError: The goal is neither an event, nor a metric, nor in the history.
        InvalidInputError: `without` names no experiment.
    """
    with control.reading() as session:
        goal, history = goal_and_history(session, project_id, request)
        scores = read_scores(session, project_id, goal)
    usable = history.measuring(goal)
    names = [name for name in usable.metrics() if name != goal]
    found = {name: assess_pair(usable, name, goal, request.visitors, request.threshold) for name in names}
    candidates = [_candidate(name, goal, found[name], usable, scores.get(name)) for name in names if found[name]]
    order = {"stand_in": 0, "with_care": 1, "not_yet": 2}
    candidates.sort(key=lambda one: (order[one.trust], -(one.quality or 0.0), one.proxy))
    status, detail = _summary(candidates, len(usable.experiments))
    return ProxiesAnswer(
        goal=goal,
        status=status,
        detail=detail,
        visitors=request.visitors,
        threshold=request.threshold,
        experiments=len(usable.experiments),
        candidates=candidates,
        mixture=_mixture(usable, goal, candidates, request.visitors),
    )


def goal_and_history(session: Session, project_id: int, request: PairRequest) -> tuple[str, History]:
    """Return the goal's name in the history, and the history without the test that is to be left out.

    Raises:
        NotFoundError: The goal is neither an event, nor a metric, nor in the history.
        InvalidInputError: `without` names no experiment.
    """
    history = read_history(session, project_id, without=request.without)
    measured = read_history(session, project_id).metrics() if request.without else history.metrics()
    canonical = canonical_name(request.goal)
    goal = request.goal if request.goal in measured else canonical
    if goal not in measured:
        event = select(EventDefinition.id).where(
            EventDefinition.project_id == project_id, EventDefinition.name == canonical
        )
        metric = select(Metric.id).where(Metric.project_id == project_id, Metric.key == request.goal)
        goal = request.goal
        if session.exec(event).first() is None and session.exec(metric).first() is None:
            raise NotFoundError(
                "This goal is neither an event, nor a metric, nor in a past experiment. GET /v1/catalog lists events."
            )
    if request.without is not None and not _is_experiment(session, project_id, request.without):
        detail = "No experiment has this key. GET /v1/experiments and GET /v1/experiments/history list them."
        raise InvalidInputError.at("/query/without", "unknown_experiment", detail)
    return goal, history


def assess_pair(
    history: History, proxy: str, goal: str, visitors: float, threshold: float = 1.96
) -> Assessment | None:
    """Assess one proxy by the experiments that measured it and the goal; None when there are none."""
    corpus = history.corpus(proxy, goal)
    return None if corpus is None else assess(corpus, visitors, np.random.default_rng(SEED), threshold=threshold)


def _is_experiment(session: Session, project_id: int, key: str) -> bool:
    own = select(Experiment.id).where(Experiment.project_id == project_id, Experiment.key == key)
    past = select(PastExperiment.id).where(PastExperiment.project_id == project_id, PastExperiment.key == key)
    return session.exec(own).first() is not None or session.exec(past).first() is not None


def _candidate(
    name: str, goal: str, found: Assessment | None, history: History, score: ScoreAnswer | None
) -> CandidateAnswer:
    assert found is not None  # noqa: S101 - the caller asks for those that were assessed
    stopping = _stopping(history.measuring(name, goal), name, goal)
    kept = score or score_answer([])
    trust, reasons = _trust(found, stopping, kept)
    slope = found.slope
    return CandidateAnswer(
        proxy=name,
        status=found.status,
        detail=found.detail,
        trust=trust,
        reasons=reasons,
        experiments=found.experiments,
        comparisons=found.comparisons,
        correlation=found.correlation,
        slope=float(slope.estimate[0]) if slope else None,
        slope_standard_error=float(slope.standard_error[0]) if slope else None,
        slope_interval=(slope.interval.lower, slope.interval.upper) if slope else None,
        width=found.width,
        jive_correlation=found.jive_correlation,
        jive_slope=found.jive_slope,
        proxy_per_goal=_proxy_per_goal(found),
        quality=found.quality,
        clipped=found.clipped,
        sign_agreement=found.sign_agreement,
        opposite_sign_risk=found.opposite_sign_risk,
        decision_value=_decision(found),
        forecast=_forecast(found),
        naive=NaiveAnswer(
            correlation=found.naive.correlation,
            slope=found.naive.slope,
            sign_agreement=found.naive.sign_agreement,
            decision_share=found.naive.decision_value,
        ),
        stopping=stopping,
        by_change=_by_change(history, name, goal),
        score=kept,
    )


def _trust(found: Assessment, stopping: StoppingAnswer, score: ScoreAnswer) -> tuple[Trust, list[str]]:
    if found.status != "ok":
        return "not_yet", [found.detail, *([score.warning] if score.warning else [])]
    risk, share = found.opposite_sign_risk, found.decision_share_at_size
    cares = []
    if risk is not None and risk > SIGN_RISK:
        cares.append(f"In {risk:.0%} of the tests that ship by it the goal gets worse.")
    if share is not None and share < USEFUL_SHARE:
        cares.append(f"At this size deciding by it wins {share:.0%} of what a perfect judge would: test longer.")
    cares += [warning for warning in (stopping.warning, score.warning) if warning]
    if cares:
        return "with_care", [found.detail, *cares]
    agreed = [score.sentence] if score.of else []
    return "stand_in", [found.detail, *agreed]


def _proxy_per_goal(found: Assessment) -> float | None:
    if found.covariance is None or found.covariance[-1, -1] <= 0:
        return None
    return float(found.covariance[0, -1] / found.covariance[-1, -1])


def _decision(found: Assessment) -> DecisionValueAnswer | None:
    if found.decision is None:
        return None
    error = found.decision.standard_error
    return DecisionValueAnswer(
        gain=found.decision.gain,
        standard_error=error if math.isfinite(error) else None,
        perfect=found.decision.perfect,
        share=found.decision.share,
        share_at_size=found.decision_share_at_size,
    )


def _forecast(found: Assessment) -> ForecastAnswer | None:
    if found.forecast is None or found.just_significant is None:
        return None
    return ForecastAnswer(
        proxy_effect=found.just_significant,
        estimate=found.forecast.estimate,
        interval=(found.forecast.interval.lower, found.forecast.interval.upper),
        chance_positive=found.forecast.chance_positive,
    )


def _stopping(history: History, proxy: str, goal: str) -> StoppingAnswer:
    past = history.experiments
    early = [one for one in past if one.stopped_early]
    on_goal = sum(one.stopping_metric == goal for one in early)
    on_proxy = sum(one.stopping_metric == proxy for one in early)
    return StoppingAnswer(
        early=len(early),
        early_on_goal=on_goal,
        early_on_proxy=on_proxy,
        unknown=sum(one.stopped_early is None for one in past),
        warning=_early_warning(on_goal, on_proxy, len(past)),
    )


def _early_warning(on_goal: int, on_proxy: int, of: int) -> str:
    # Stopped early on the goal: its lucky effects are too large, and the slope with them; on the proxy: the reverse.
    if on_goal + on_proxy < NOTABLE_SHARE * of or not of:
        return ""
    metric, way = ("the goal", "steep") if on_goal >= on_proxy else ("this proxy", "flat")
    return (
        f"{on_goal + on_proxy} of {of} past tests were stopped early, mostly on {metric}: the slope may be too {way} "
        "(by 12% where every test had one look at its half). Let tests that will serve as history reach their plan."
    )


def _by_change(history: History, proxy: str, goal: str) -> list[ChangeAnswer]:
    past, corpus = history.measuring(proxy, goal).experiments, history.corpus(proxy, goal)
    answers = []
    for change in sorted({one.change for one in past if one.change}):
        places = [place for place, one in enumerate(past) if one.change == change]
        if corpus is None:
            continue
        part = corpus.where(np.isin(corpus.experiments, places))
        found = pin_down(part)
        answers.append(
            ChangeAnswer(
                change=change,
                experiments=len(part),
                status=found.status,
                slope=float(found.slope.estimate[0]) if found.slope else None,
                slope_interval=(found.slope.interval.lower, found.slope.interval.upper) if found.slope else None,
                correlation=found.correlation,
            )
        )
    return answers


def _mixture(
    history: History, goal: str, candidates: Sequence[CandidateAnswer], visitors: int
) -> MixtureAnswer | None:
    good = [one for one in candidates if one.status == "ok" and one.quality is not None]
    best = sorted(good, key=lambda one: -(one.quality or 0.0))[:MOST_MIXED]
    corpus = history.corpus(*(one.proxy for one in best), goal) if len(best) > 1 else None
    if corpus is None or len(corpus) <= len(best) + 1:  # fewer experiments than unknowns per direction
        return None
    found = best_mixture(total_covariance(corpus), corpus.noise_of(visitors)[:-1, :-1])
    if found is None:
        return None
    return MixtureAnswer(
        weights={one.proxy: float(weight) for one, weight in zip(best, found.weights, strict=True)},
        quality=found.quality,
        experiments=len(corpus),
        best_single=best[0].proxy,
        best_single_quality=best[0].quality or 0.0,
        clipped=found.clipped,
    )


def _summary(candidates: Sequence[CandidateAnswer], experiments: int) -> tuple[str, str]:
    if not experiments:
        detail = "No past experiment measured this goal. POST /v1/experiments/history imports them; own ones enter."
        return "no_history", detail
    good = [one.proxy for one in candidates if one.status == "ok"]
    if not good:
        return "not_enough_evidence", "No proxy's interval is narrow enough to say anything: decide by the goal."
    return "ok", f"{len(good)} of {len(candidates)} candidates are pinned down by {experiments} past experiments."
