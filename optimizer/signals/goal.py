"""Which goal is meant when nobody says, the policy's or the catalog's only macro conversion, and if there is such."""

from __future__ import annotations

from sqlmodel import Session, select

from optimizer.core.naming import canonical_name
from optimizer.errors import InvalidInputError, NotFoundError
from optimizer.signals.cohorts import goal_known
from optimizer.storage.stores import Stores
from optimizer.storage.tables import EventDefinition, FeedbackPolicy


def default_goal(session: Session, project_id: int) -> str | None:
    """Return the goal of the feedback policy or, without one, the only macro conversion of the catalog.

    Returns:
        Its canonical name; None where several or none could be meant.
    """
    policy = session.get(FeedbackPolicy, project_id)
    if policy is not None:
        return policy.goal
    macros = session.exec(
        select(EventDefinition.name).where(EventDefinition.project_id == project_id, EventDefinition.kind == "macro")
    ).all()
    return macros[0] if len(macros) == 1 else None


def asked_goal(session: Session, project_id: int, named: str | None, at: str) -> str:
    """Return the goal that was named or, when none was, the default one.

    Args:
        session: An open session.
        project_id: Whose goal.
        named: A name in any spelling, if any.
        at: Where the name belongs, for the refusal.

    Raises:
        InvalidInputError: None is named and several or none could be meant.
    """
    found = canonical_name(named) if named else default_goal(session, project_id)
    if not found:
        raise InvalidInputError.at(at, "no_goal", "Say which goal, or catalog one macro conversion.")
    return found


def needed_goal(stores: Stores, project_id: int, goal: str) -> None:
    """Refuse a goal that is neither in the catalog nor was ever sent; one that nobody reached yet is no mistake.

    Raises:
        NotFoundError: It is neither.
    """
    catalogued = select(EventDefinition.id).where(
        EventDefinition.project_id == project_id, EventDefinition.name == goal
    )
    with stores.control.reading() as session:
        if session.exec(catalogued).first() is not None:
            return
    if not goal_known(stores.events, project_id, goal):
        raise NotFoundError("Nobody ever sent this goal. GET /v1/catalog lists the names that were sent.")
