"""Reports: one experiment as a page to keep, a picture to paste, a table to compute with."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import actor, now, project_id, services
from optimizer.api._forms import MEDIA_TYPES, STANDS_ALONE, chosen_form
from optimizer.experiments import journal
from optimizer.experiments.export import result_rows, to_csv
from optimizer.experiments.report import Report, build_report

blueprint = APIBlueprint("reports", __name__, tag="Experiments")


class ReportQuery(BaseModel):
    """In which form."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["html", "json", "csv", "svg", "png", "vega"] | None = Field(
        None, description="Beats the Accept header; html by default. svg, png and vega are the forest plot."
    )


@blueprint.get("/v1/experiments/<key>/report")
@requires("read")
@blueprint.input(ReportQuery, location="query", arg_name="query")
@blueprint.output(Report, content_type="application/json")
@blueprint.doc(
    summary="Report on an experiment",
    description="One self-contained page, its forest plot, or the same as data; as of the last cut-off, like "
    "the result.",
)
def read_report(key: str, query: ReportQuery) -> Response:
    """Report on one experiment."""
    report = build_report(services().stores, project_id(), key, now=now())
    journal.record_reading(services().stores.control, project_id(), report.result, actor=actor(), now=now())
    form = chosen_form(request, query.format, "html", "json", "csv", "svg", "png")
    if form == "json":
        return Response(report.model_dump_json(), mimetype=MEDIA_TYPES[form])
    if form == "csv":
        return Response(to_csv(result_rows(report.result)), mimetype=MEDIA_TYPES[form])
    if form == "svg" or form == "png" or form == "vega":  # noqa: PLR1714 - mypy narrows these, not `in`
        picture = services().presenter.report_picture(report, form)
        return Response(picture, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
    page = services().presenter.report_page(report)
    return Response(page, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
