"""What past experiments say of a plan's proxies, asked at the size that the plan itself comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlmodel import Session

from optimizer.core.naming import canonical_name
from optimizer.core.proxies.assessment import Assessment
from optimizer.signals.history import read_history
from optimizer.signals.proxies import assess_pair
from optimizer.signals.scores import read_drifts

Past = Callable[[str, str, float], Assessment | None]


def nothing_past(proxy: str, goal: str, units: float) -> None:
    """Know of no past experiment."""
    del proxy, goal, units


def past_of(session: Session, project_id: int) -> Past:
    """Read a project's past experiments once.

    Returns:
        A judge of (proxy, goal, units over two equal arms); None where no experiment measured both. What the past
        says of a proxy whose score has drifted is not evidence any more.
    """
    history = read_history(session, project_id)
    warnings = read_drifts(session, project_id)
    known = {canonical_name(metric): metric for metric in history.metrics()} | {
        metric: metric for metric in history.metrics()
    }

    def judge(proxy: str, goal: str, units: float) -> Assessment | None:
        if proxy not in known or goal not in known:
            return None
        found = assess_pair(history, known[proxy], known[goal], units)
        drift = warnings.get((known[goal], known[proxy]))
        return replace(found, status="not_enough_evidence", detail=drift) if found and drift else found

    return judge
