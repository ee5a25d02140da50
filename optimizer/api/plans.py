"""Plans and analyses: questions about numbers, with nothing stored."""

from __future__ import annotations

from apiflask import APIBlueprint

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.core.naming import canonical_name
from optimizer.experiments.analysis import AnalysisRequest, analyse
from optimizer.experiments.answers import ResultAnswer
from optimizer.experiments.measured import WINDOW_DAYS, measure
from optimizer.experiments.planning import PlanAnswer, PlanRequest, plan

blueprint = APIBlueprint("plans", __name__, tag="Experiments")


@blueprint.post("/v1/plans")
@requires("read")
@blueprint.input(PlanRequest, arg_name="body")
@blueprint.output(PlanAnswer)
@blueprint.doc(
    summary="Plan a test",
    description="Visitors and days for the goal and for each proxy side by side. Baselines and traffic that are left "
    "out are measured from the project's own data.",
)
def make_plan(body: PlanRequest) -> PlanAnswer:
    """Plan a test on the goal and on its proxies."""
    names = [canonical_name(name) for name in (body.goal, *body.proxies)]
    measured = measure(services().stores.events, project_id(), names, now=now())
    return plan(body, measured.rates, measured.daily_visitors, window_days=WINDOW_DAYS)


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
