"""Proxies: which metrics can stand in for a goal, by past experiments."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import Field

from optimizer.api._auth import requires
from optimizer.api._context import project_id, services
from optimizer.api._forms import MEDIA_TYPES, STANDS_ALONE, chosen_form
from optimizer.signals.proxies import judge_proxies
from optimizer.signals.proxy_effects import show_effects
from optimizer.signals.proxy_shapes import EffectsAnswer, PairRequest, ProxiesAnswer, ProxiesRequest

blueprint = APIBlueprint("proxies", __name__, tag="Insights and signals")


@blueprint.get("/v1/signals/proxies")
@requires("read")
@blueprint.input(ProxiesRequest, location="query", arg_name="query")
@blueprint.output(ProxiesAnswer)
@blueprint.doc(
    summary="Judge proxies by past experiments",
    description="Which metric can stand in for the goal, and what deciding by it is worth: from past experiments' "
    "effects without the noise they share, the naive figures beside. Too little evidence is said, not guessed over.",
)
def read_proxies(query: ProxiesRequest) -> ProxiesAnswer:
    """Judge every candidate."""
    return judge_proxies(services().stores.control, project_id(), query)


class EffectsQuery(PairRequest):
    """Which goal, and in which form."""

    format: Literal["json", "svg", "png", "vega"] | None = Field(
        None, description="Beats the Accept header; json by default. The others are the same as a picture."
    )


@blueprint.get("/v1/signals/proxies/<name>/effects")
@requires("read")
@blueprint.input(EffectsQuery, location="query", arg_name="query")
@blueprint.output(EffectsAnswer, content_type="application/json")
@blueprint.doc(
    summary="Past effects of a proxy against the goal's",
    description="One point a comparison with its noise, and the slope with and without the noise that both share; "
    "as a picture with noise ellipses and both slopes, too.",
)
def read_effects(name: str, query: EffectsQuery) -> Response:
    """Show past effects."""
    found = show_effects(services().stores.control, project_id(), name, query)
    form = chosen_form(request, query.format, "json", "svg", "png", "vega")
    if form == "svg" or form == "png" or form == "vega":  # noqa: PLR1714 - mypy narrows these, not `in`
        picture = services().presenter.effects_picture(found, form)
        return Response(picture, mimetype=MEDIA_TYPES[form], headers=STANDS_ALONE)
    return Response(found.model_dump_json(), mimetype=MEDIA_TYPES["json"])
