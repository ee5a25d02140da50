"""Which goal is meant when nobody says: the policy's, or the catalog's only macro conversion."""

from __future__ import annotations

from sqlmodel import Session, select

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
