"""Analyses of counts that a team brings along, with nothing stored."""

from __future__ import annotations

from apiflask import APIBlueprint

from optimizer.api._auth import requires
from optimizer.experiments.analysis import AnalysisRequest, analyse
from optimizer.experiments.answers import ResultAnswer

blueprint = APIBlueprint("analyses", __name__, tag="Experiments")


@blueprint.post("/v1/analyses")
@requires("read")
@blueprint.input(AnalysisRequest, arg_name="body")
@blueprint.output(ResultAnswer)
@blueprint.doc(
    summary="Analyse counts",
    description="The same comparison, checks and decision as an experiment's results, from counts you bring along.",
)
def make_analysis(body: AnalysisRequest) -> ResultAnswer:
    """Analyse counts."""
    return analyse(body)
