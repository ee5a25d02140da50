"""Segments: definitions, members, changes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._forms import MEDIA_TYPES, chosen_form
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.core.rules import parse
from optimizer.errors import BusyError, GoneError
from optimizer.segments import definitions
from optimizer.segments.definitions import Purpose, SegmentAnswer, SegmentRequest
from optimizer.segments.members import Change, Member, page_of_changes, page_of_members
from optimizer.segments.queries import candidates
from optimizer.segments.refresh import scoring_for
from optimizer.storage.tables import Segment

JOB = "refresh_segments"
SAMPLE = 10
PAGE_OF_EXPORT = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
blueprint = APIBlueprint("segments", __name__, tag="Segments")


class SegmentList(BaseModel):
    """A project's segments."""

    data: list[SegmentAnswer]
    next_cursor: None = None


class PreviewRequest(BaseModel):
    """A definition to try."""

    model_config = ConfigDict(extra="forbid")

    definition: dict[str, object] = Field(description="As in a segment.")
    purpose: Purpose = Field("email", description="Decides which consent counts.")


class SampleMember(BaseModel):
    """One unit that would be a member."""

    user_id: str | None
    items: list[str]
    value: float | None
    conversion_likelihood: float | None


class PreviewAnswer(BaseModel):
    """How many would be members."""

    fitting: int = Field(description="Units that fit the definition.")
    permitted: int = Field(description="Of those, how many gave the consent that the purpose needs.")
    sample: list[SampleMember] = Field(description=f"Up to {SAMPLE} of the permitted ones.")


class RefreshAnswer(BaseModel):
    """What a refresh did."""

    entered: int
    left: int
    members: int


class MembersQuery(Page):
    """Which members, in which form."""

    format: Literal["json", "csv", "ndjson"] | None = Field(None, description="Beats the Accept header.")


class MemberList(BaseModel):
    """One page of members."""

    data: list[Member]
    next_cursor: str | None


class ChangesQuery(BaseModel):
    """From where."""

    model_config = ConfigDict(extra="forbid")

    since: str | None = Field(None, max_length=1000, description="`next_cursor` of the last pull; none: all of it.")
    limit: int = Field(100, ge=1, le=10_000, description="Changes at most.")


class ChangeList(BaseModel):
    """Who entered and left, in order."""

    data: list[Change]
    next_cursor: str = Field(description="Where the next pull goes on, also when nothing has changed.")


@blueprint.get("/v1/segments")
@requires("read")
@blueprint.output(SegmentList)
@blueprint.doc(summary="List segments")
def read_segments() -> SegmentList:
    """List the project's segments."""
    with services().stores.control.reading() as session:
        rows = definitions.list_segments(session, project_id())
        return SegmentList(data=[definitions.answer(session, row) for row in rows])


@blueprint.get("/v1/segments/<key>")
@requires("read")
@blueprint.output(SegmentAnswer)
@blueprint.doc(summary="Read one segment")
def read_segment(key: str) -> SegmentAnswer:
    """Read one segment."""
    with services().stores.control.reading() as session:
        return definitions.answer(session, definitions.get_segment(session, project_id(), key))


@blueprint.put("/v1/segments/<key>")
@requires("manage")
@blueprint.input(SegmentRequest, arg_name="body")
@blueprint.output(SegmentAnswer)
@blueprint.doc(summary="Create or replace a segment", description="Its members follow with the next refresh.")
def write_segment(key: str, body: SegmentRequest) -> SegmentAnswer:
    """Create or replace one segment."""
    scoring_for(services().stores, project_id(), parse(body.definition), now=now())
    with services().stores.control.session() as session:
        return definitions.put_segment(session, project_id(), key, body, now=now())


@blueprint.delete("/v1/segments/<key>")
@requires("manage")
@blueprint.doc(summary="Delete a segment", description="Cursors of its changes expire.", responses={204: "Deleted"})
def remove_segment(key: str) -> tuple[str, int]:
    """Delete one segment."""
    with services().stores.control.session() as session:
        definitions.delete_segment(session, project_id(), key)
    return "", 204


@blueprint.post("/v1/segments/preview")
@requires("manage")
@blueprint.input(PreviewRequest, arg_name="body")
@blueprint.output(PreviewAnswer)
@blueprint.doc(summary="Try a definition", description="Size and a sample; nothing is stored.")
def preview_segment(body: PreviewRequest) -> PreviewAnswer:
    """Count who would be a member."""
    rule = parse(body.definition)
    model = scoring_for(services().stores, project_id(), rule, now=now())
    found = candidates(services().stores.events, project_id(), rule, body.purpose, now=now(), model=model)
    permitted = [one for one in found if one.permitted]
    sample = [
        SampleMember(
            user_id=one.user_id,
            items=one.items,
            value=one.value,
            conversion_likelihood=one.conversion_likelihood,
        )
        for one in permitted[:SAMPLE]
    ]
    return PreviewAnswer(fitting=len(found), permitted=len(permitted), sample=sample)


@blueprint.post("/v1/segments/<key>/refresh")
@requires("manage")
@blueprint.output(RefreshAnswer)
@blueprint.doc(summary="Refresh a segment now", description="Answers when it is done.")
def refresh_segment(key: str) -> RefreshAnswer:
    """Compute the members again."""
    segment = _segment(key)
    scoring_for(services().stores, project_id(), parse(segment.definition), now=now())
    run = services().schedule.run_now(JOB, now=now(), only=segment.id)
    done = run.summary.get("segments", {}).get(str(segment.id))
    if run.status != "ok" or done is None:
        detail = f"The refresh did not finish: {run.error or run.status}. The members are as they were."
        raise BusyError(detail, retry_after_seconds=30)
    return RefreshAnswer.model_validate(done)


@blueprint.get("/v1/segments/<key>/members")
@requires("segments")
@blueprint.input(MembersQuery, location="query", arg_name="query")
@blueprint.output(MemberList)
@blueprint.doc(
    summary="Pull members",
    description="JSON in pages; CSV (`Accept: text/csv` or `format=csv`) and NDJSON stream all of them. Consent and "
    "suppressions are checked again for every page.",
)
def read_members(key: str, query: MembersQuery) -> Response:
    """Pull a segment's members."""
    segment = _segment(key)
    after = str(decode_cursor(query.cursor, str)[0]) if query.cursor else ""
    form = chosen_form(request, query.format, "json", "csv", "ndjson")
    stores = services().stores
    if form == "json":
        members, following = page_of_members(stores, segment, after=after, limit=query.limit)
        page = MemberList(data=members, next_cursor=encode_cursor(following) if following is not None else None)
        return Response(page.model_dump_json(), mimetype="application/json")

    def everyone() -> Iterator[Member]:
        place: str | None = after
        while place is not None:
            members, place = page_of_members(stores, segment, after=place, limit=PAGE_OF_EXPORT)
            yield from members

    if form == "ndjson":
        lines = (member.model_dump_json() + "\n" for member in everyone())
        return Response(lines, mimetype=MEDIA_TYPES[form])
    return Response(
        _csv(everyone),
        mimetype=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{segment.id}.csv"'},
    )


@blueprint.get("/v1/segments/<key>/changes")
@requires("segments")
@blueprint.input(ChangesQuery, location="query", arg_name="query")
@blueprint.output(ChangeList)
@blueprint.doc(
    summary="Pull who entered and left",
    description="In order, from the beginning without `since`, resumable for ever. 410: the segment was made anew, "
    "start over.",
)
def read_changes(key: str, query: ChangesQuery) -> ChangeList:
    """Pull a segment's changes."""
    segment = _segment(key)
    after = 0
    if query.since:
        owner, after = (int(part) for part in decode_cursor(query.since, int, int, name="since"))
        if owner != segment.id:
            raise GoneError("This cursor is of a segment that was deleted. Start over without `since`.")
    changes = page_of_changes(services().stores, segment, after=after, limit=query.limit)
    last = changes[-1].sequence if changes else after
    return ChangeList(data=changes, next_cursor=encode_cursor(segment.id or 0, last))


def _segment(key: str) -> Segment:
    with services().stores.control.reading() as session:
        return definitions.get_segment(session, project_id(), key)


def _csv(members: Callable[[], Iterator[Member]]) -> Iterator[str]:
    yield _line(list(Member.model_fields))
    for member in members():
        shown = member.model_dump(mode="json")
        yield _line([*({**shown, "items": "|".join(member.items)}).values()])


def _line(cells: list[Any]) -> str:
    # A text that begins like a formula would be run by the spreadsheet that opens the file.
    safe = [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in cells]
    buffer = io.StringIO()
    csv.writer(buffer).writerow(safe)
    return buffer.getvalue()
