"""The versions of the likelihood model: every card is kept, the newest one that holds is used."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pydantic import Field
from sqlmodel import Session

from optimizer.core.likelihood import LinearModel
from optimizer.errors import ConflictError, NotFoundError
from optimizer.signals.goal import default_goal
from optimizer.signals.likelihood import LikelihoodRequest, ModelCard, train
from optimizer.signals.recent import Recipe
from optimizer.signals.reports import get_report, list_reports, page_of_reports, readable, store_report
from optimizer.storage.stores import Stores
from optimizer.storage.tables import StoredReport

RETRAINED_AFTER = dt.timedelta(days=7)
USED_FOR = dt.timedelta(days=35)  # a model that no newer one has confirmed for so long is of another season
LOOKED_BACK = 10
Kept = tuple[StoredReport, ModelCard]


class ModelVersion(ModelCard):
    """A card with its number."""

    version: int = Field(description="Counted from 1 within the project.")
    in_use: bool = Field(description="Whether this one scores units now.")


@dataclass(frozen=True, slots=True)
class Scoring:
    """The model in use.

    Attributes:
        version: Its number.
        recipe: Its features.
        model: Its coefficients.
    """

    version: int
    recipe: Recipe
    model: LinearModel


def train_version(stores: Stores, project_id: int, request: LikelihoodRequest, *, now: dt.datetime) -> ModelVersion:
    """Train and keep the card, refused ones too.

    Raises:
        NotFoundError: See `train`.
        InvalidInputError: See `train`.
    """
    card = train(stores, project_id, request, now=now)
    with stores.control.session() as session:
        number = store_report(session, project_id, "likelihood_model", card, now=now)
    return read_version(stores, project_id, number, now=now)


def list_versions(
    stores: Stores, project_id: int, *, before: int | None, limit: int, now: dt.datetime
) -> tuple[list[ModelVersion], int | None]:
    """Read one page of cards, newest first, and where the next one begins; see `page_of_reports`."""
    with stores.control.reading() as session:
        used = _used(session, project_id, now=now)
        page, following = page_of_reports(
            session, project_id, "likelihood_model", ModelCard, before=before, limit=limit
        )
    return [_version(row, card, used) for row, card in page], following


def read_version(stores: Stores, project_id: int, number: int | None, *, now: dt.datetime) -> ModelVersion:
    """Read one card, by default the newest.

    Raises:
        NotFoundError: There is none of this number, or none at all.
    """
    with stores.control.reading() as session:
        used = _used(session, project_id, now=now)
        if number is not None:
            return _version(*get_report(session, project_id, "likelihood_model", number, ModelCard), used)
        newest = _newest(session, project_id)
    if newest is None:
        raise NotFoundError("No model was trained yet. POST /v1/signals/likelihood trains one.")
    return _version(*newest, used)


def model_in_use(stores: Stores, project_id: int, *, now: dt.datetime) -> Scoring | None:
    """Return what scores units now: the newest card that was not refused, for at most 35 days."""
    with stores.control.reading() as session:
        used = _used(session, project_id, now=now)
    if used is None:
        return None
    row, card = used
    return Scoring(row.number, *card.linear())


def needed_model(stores: Stores, project_id: int, *, now: dt.datetime) -> Scoring:
    """Return what scores units now.

    Raises:
        ConflictError: Nothing does; says why and what to do.
    """
    found = model_in_use(stores, project_id, now=now)
    if found is not None:
        return found
    with stores.control.reading() as session:
        newest = _newest(session, project_id)
    why = f"The newest model does not hold: {newest[1].reason}" if newest else "No model was trained yet."
    raise ConflictError(f"{why} Conditions on conversion_likelihood need one: POST /v1/signals/likelihood.")


def is_due(session: Session, project_id: int, *, now: dt.datetime) -> bool:
    """Whether a project's newest card is a week old, or there is none."""
    newest = _newest(session, project_id)
    return newest is None or newest[0].made_at <= now - RETRAINED_AFTER


def wanted_again(session: Session, project_id: int) -> LikelihoodRequest | None:
    """Return what was asked for last, to be learned anew, or the project's goal; None without one."""
    newest = _newest(session, project_id)
    if newest is None:
        goal = default_goal(session, project_id)
        return LikelihoodRequest(goal=goal) if goal else None
    return LikelihoodRequest(goal=newest[1].goal, horizon_days=newest[1].horizon_days)


def _newest(session: Session, project_id: int) -> Kept | None:
    cards = readable(list_reports(session, project_id, "likelihood_model", limit=LOOKED_BACK), ModelCard)
    return cards[0] if cards else None


def _used(session: Session, project_id: int, *, now: dt.datetime) -> Kept | None:
    rows = list_reports(session, project_id, "likelihood_model", limit=LOOKED_BACK)
    holding = ((row, card) for row, card in readable(rows, ModelCard) if card.status == "ok")
    return next(((row, card) for row, card in holding if row.made_at >= now - USED_FOR), None)


def _version(row: StoredReport, card: ModelCard, used: Kept | None) -> ModelVersion:
    in_use = used is not None and used[0].number == row.number
    return ModelVersion(**card.model_dump(), version=row.number, in_use=in_use)
