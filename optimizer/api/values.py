"""What occurrences are worth: the table of values with its proof."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._forms import MEDIA_TYPES, STANDS_ALONE, chosen_form
from optimizer.signals.value_shapes import ValuesRequest, ValueTable
from optimizer.signals.values import ask_values

blueprint = APIBlueprint("values", __name__, tag="Insights and signals")


class ValuesQuery(ValuesRequest):
    """Which events, in which form."""

    format: Literal["json", "svg", "png", "vega"] | None = Field(
        None, description="Beats the Accept header; svg, png and vega draw the weeks."
    )


@blueprint.get("/v1/signals/values")
@requires("read")
@blueprint.input(ValuesQuery, location="query", arg_name="query")
@blueprint.output(ValueTable, content_type="application/json")
@blueprint.doc(
    summary="Say what occurrences of events are worth",
    description="Predicted, not incremental: one value a person, told in increments, learned by event and source, "
    "held against later weeks and reconciled with real purchases week by week.",
)
def read_values(query: ValuesQuery) -> Response:
    """Learn and show a table of values."""
    table = ask_values(services().stores, project_id(), query, now=now())
    form = chosen_form(request, query.format, "json", "svg", "png", "vega")
    if form == "svg" or form == "png" or form == "vega":  # noqa: PLR1714 - so that the type checker sees which
        picture = services().presenter.value_picture(table, form)
        return Response(picture, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
    return Response(table.model_dump_json(), mimetype="application/json")
