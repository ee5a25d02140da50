"""Units: what one of them seems to want."""

from __future__ import annotations

from apiflask import APIBlueprint
from pydantic import BaseModel

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.errors import BusyError
from optimizer.segments.intent import Intent, ask_intent
from optimizer.segments.profiles import note_asked

JOB = "refresh_profiles"
blueprint = APIBlueprint("units", __name__, tag="Segments")


class ProfilesAnswer(BaseModel):
    """What a refresh did."""

    refreshed: int
    forgotten: int


@blueprint.get("/v1/units/<unit_id>/intent")
@requires("segments")
@blueprint.output(Intent)
@blueprint.doc(
    summary="Read what a unit seems to want",
    description="Segments, recent micro conversions and how likely it is to convert, for personalisation: from a "
    "table that is refreshed every minute, so that a page need not wait. By user id, or else by anonymous id; a unit "
    "that is not known has the status `unknown`.",
)
def read_unit_intent(unit_id: str) -> Intent:
    """Read one unit's profile."""
    return ask_intent(services().stores, project_id(), unit_id, now=now())


@blueprint.post("/v1/units/refresh")
@requires("manage")
@blueprint.output(ProfilesAnswer)
@blueprint.doc(summary="Refresh the profiles of units now", description="Answers when it is done.")
def refresh_units() -> ProfilesAnswer:
    """Bring the profiles up to date."""
    note_asked(services().stores, project_id(), now=now())
    run = services().schedule.run_now(JOB, now=now(), only=project_id())
    done = run.summary.get("projects", {}).get(str(project_id()))
    if run.status != "ok" or done is None:
        detail = f"The refresh did not finish: {run.error or run.status}. The profiles are as they were."
        raise BusyError(detail, retry_after_seconds=30)
    return ProfilesAnswer.model_validate(done)
