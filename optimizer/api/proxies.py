"""Proxies: which metrics can stand in for a goal, by past experiments."""

from __future__ import annotations

from apiflask import APIBlueprint

from optimizer.api._auth import requires
from optimizer.api._context import project_id, services
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


@blueprint.get("/v1/signals/proxies/<name>/effects")
@requires("read")
@blueprint.input(PairRequest, location="query", arg_name="query")
@blueprint.output(EffectsAnswer)
@blueprint.doc(
    summary="Past effects of a proxy against the goal's",
    description="One point a comparison with its noise, and the slope with and without the noise that both share.",
)
def read_effects(name: str, query: PairRequest) -> EffectsAnswer:
    """Show past effects."""
    return show_effects(services().stores.control, project_id(), name, query)
