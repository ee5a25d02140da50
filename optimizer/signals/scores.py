"""The score of a proxy as a sentence and a warning: how often it was right about the goal in this service's tests."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session, col, select

from optimizer.core.proxies.score import ALARM, Verdict, score
from optimizer.signals.proxy_shapes import JudgedTest, ScoreAnswer
from optimizer.storage.tables import Experiment, ProxyVerdict

LEVEL = 0.95  # of the prediction intervals


def read_scores(session: Session, project_id: int, goal: str) -> dict[str, ScoreAnswer]:
    """Return the score of every proxy that stood in for a goal."""
    own = select(ProxyVerdict).where(ProxyVerdict.project_id == project_id, ProxyVerdict.goal == goal)
    by_proxy: dict[str, list[ProxyVerdict]] = {}
    for row in session.exec(own.order_by(col(ProxyVerdict.matured_at), col(ProxyVerdict.id))):
        by_proxy.setdefault(row.proxy, []).append(row)
    return {proxy: score_answer(rows) for proxy, rows in by_proxy.items()}


def read_drifts(session: Session, project_id: int) -> dict[tuple[str, str], str]:
    """Return the warning for every pair of goal and proxy whose score has drifted."""
    own = select(ProxyVerdict.goal).where(ProxyVerdict.project_id == project_id).distinct()
    scores = {goal: read_scores(session, project_id, goal) for goal in session.exec(own)}
    return {
        (goal, proxy): score.warning
        for goal, by_proxy in scores.items()
        for proxy, score in by_proxy.items()
        if score.warning
    }


def score_answer(rows: Sequence[ProxyVerdict]) -> ScoreAnswer:
    """Put matured tests into a score; what signs do not show, a goal outside its interval may."""
    signs = score([Verdict(row.agreed, row.chance) for row in rows])
    inside = score([Verdict(bool(row.covered), None if row.covered is None else LEVEL) for row in rows])
    contradicted = sum(row.contradicted for row in rows)
    return ScoreAnswer(
        agreed=signs.agreed,
        of=signs.of,
        contradicted=contradicted,
        expected=signs.expected,
        known=signs.known,
        inside_interval=inside.agreed,
        evidence=max(signs.evidence, inside.evidence),
        sentence=_sentence(signs.agreed, signs.of, signs.expected, signs.known),
        warning=_warning(signs.evidence, inside.evidence),
    )


def judged_tests(session: Session, project_id: int, proxy: str, goal: str) -> list[JudgedTest]:
    """Return the tests that a score is made of, in the order in which goals matured."""
    own = (
        select(ProxyVerdict, Experiment.key)
        .join(Experiment, col(Experiment.id) == ProxyVerdict.experiment_id)
        .where(ProxyVerdict.project_id == project_id, ProxyVerdict.proxy == proxy, ProxyVerdict.goal == goal)
        .order_by(col(ProxyVerdict.matured_at), col(ProxyVerdict.id))
    )
    return [
        JudgedTest(
            experiment=key,
            variant=row.variant,
            basis=row.basis,
            proxy_effect=row.proxy_effect,
            forecast=row.forecast,
            forecast_interval=_pair(row.forecast_low, row.forecast_high),
            goal_effect=row.goal_effect,
            agreed=row.agreed,
            contradicted=row.contradicted,
            chance=row.chance,
            matured_at=row.matured_at,
        )
        for row, key in session.exec(own)
    ]


def _pair(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _sentence(agreed: int, of: int, expected: float | None, known: int) -> str:
    if not of:
        return "No experiment of this service has shown yet whether it is right about the goal."
    beside = "" if expected is None else f"; {expected:.1f} were to be expected of the {known} with a forecast"
    return f"The proxy agreed in {agreed} of {of}{beside}."


def _warning(signs: float, inside: float) -> str:
    found = (
        (signs, "agrees with the goal less often"),
        (inside, "foretells the goal's effect less well"),
    )
    what = " and ".join(words for evidence, words in found if evidence >= ALARM)
    if not what:
        return ""
    return (
        f"Drift: of late it {what} than past experiments promised. Decide by the goal until the reason is known: "
        "another kind of change, other visitors, or another meaning of the event."
    )
