"""The likelihood model: train it, read its card, see its calibration."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.api._forms import MEDIA_TYPES, STANDS_ALONE, chosen_form
from optimizer.api._pages import Page, decode_cursor, encode_cursor
from optimizer.signals.likelihood import LikelihoodRequest
from optimizer.signals.likelihood_versions import ModelVersion, list_versions, read_version, train_version
from optimizer.signals.reports import report_number

blueprint = APIBlueprint("likelihood", __name__, tag="Insights and signals")


class CardQuery(BaseModel):
    """In which form."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "svg", "png", "vega"] | None = Field(
        None, description="Beats the Accept header; svg, png and vega are the calibration plot."
    )


class VersionList(BaseModel):
    """Cards, newest first."""

    data: list[ModelVersion]
    next_cursor: str | None


@blueprint.get("/v1/signals/likelihood")
@requires("read")
@blueprint.input(CardQuery, location="query", arg_name="query")
@blueprint.output(ModelVersion, content_type="application/json")
@blueprint.doc(
    summary="Read the newest model card",
    description="What the model learned from which weeks, how it did on later ones, and whether it is used.",
)
def read_likelihood(query: CardQuery) -> Response:
    """Read or draw the newest card."""
    return _shown(read_version(services().stores, project_id(), None, now=now()), query)


@blueprint.post("/v1/signals/likelihood")
@requires("manage")
@blueprint.input(LikelihoodRequest, arg_name="body")
@blueprint.output(ModelVersion)
@blueprint.doc(
    summary="Train the likelihood model now",
    description="How likely each unit is to reach the goal soon, from what it did lately. Answers with the card, "
    "also when the model is refused: too few conversions, too short a history, or not told apart from chance.",
)
def train_likelihood(body: LikelihoodRequest) -> ModelVersion:
    """Train a version."""
    return train_version(services().stores, project_id(), body, now=now())


@blueprint.get("/v1/signals/likelihood/versions")
@requires("read")
@blueprint.input(Page, location="query", arg_name="query")
@blueprint.output(VersionList)
@blueprint.doc(summary="List the model's versions", description="Newest first, refused ones too.")
def read_versions(query: Page) -> VersionList:
    """List cards."""
    before = int(decode_cursor(query.cursor, int)[0]) if query.cursor else None
    page, following = list_versions(services().stores, project_id(), before=before, limit=query.limit, now=now())
    return VersionList(data=page, next_cursor=encode_cursor(following) if following is not None else None)


@blueprint.get("/v1/signals/likelihood/versions/<number>")
@requires("read")
@blueprint.input(CardQuery, location="query", arg_name="query")
@blueprint.output(ModelVersion, content_type="application/json")
@blueprint.doc(summary="Read one version's card")
def read_one_version(number: str, query: CardQuery) -> Response:
    """Read or draw one card."""
    return _shown(read_version(services().stores, project_id(), report_number(number), now=now()), query)


def _shown(card: ModelVersion, query: CardQuery) -> Response:
    form = chosen_form(request, query.format, "json", "svg", "png", "vega")
    if form == "svg" or form == "png" or form == "vega":  # noqa: PLR1714 - so that the type checker sees which
        picture = services().presenter.calibration_picture(card, form)
        return Response(picture, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
    return Response(card.model_dump_json(), mimetype="application/json")
