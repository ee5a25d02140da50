"""The ranking that the policy looks at: made once a day, for it reads every event, and weeks hardly move in hours."""

from __future__ import annotations

import datetime as dt

from pydantic import ValidationError
from sqlmodel import Session

from optimizer.signals.answers import SignalsAnswer, SignalsRequest
from optimizer.signals.service import rank_signals
from optimizer.storage.stores import Stores
from optimizer.storage.tables import PolicyRanking

MADE_ANEW = dt.timedelta(days=1)


def current_ranking(stores: Stores, project_id: int, request: SignalsRequest, *, now: dt.datetime) -> SignalsAnswer:
    """Return the ranking in use; it is made anew when it is a day old or answers another question.

    A ranking that says nothing yet is asked for again at every run, not kept.

    Raises:
        NotFoundError: The goal is neither in the catalog nor was ever sent.
    """
    held = _held(stores, project_id, since=now - MADE_ANEW)
    if held is not None and (held.goal, held.window_days) == (request.goal, request.window_days):
        return held
    ranking = rank_signals(stores, project_id, request, now=now)
    if ranking.status == "ok":
        row = PolicyRanking(project_id=project_id, made_at=now, document=ranking.model_dump(mode="json"))
        with stores.control.session() as session:
            session.merge(row)
    return ranking


def _held(stores: Stores, project_id: int, *, since: dt.datetime) -> SignalsAnswer | None:
    with stores.control.reading() as session:
        row = session.get(PolicyRanking, project_id)
    if row is None or row.made_at <= since:
        return None
    try:
        return SignalsAnswer.model_validate(row.document)
    except ValidationError:  # of another version of this service
        return None


def ranked_at(session: Session, project_id: int) -> dt.datetime | None:
    """Return when the ranking in use was made."""
    held = session.get(PolicyRanking, project_id)
    return held.made_at if held is not None else None
