"""Plans: how many visitors a question takes, with nothing stored."""

from __future__ import annotations

from apiflask import APIBlueprint

from optimizer.api._auth import requires
from optimizer.api._context import now, project_id, services
from optimizer.core.naming import canonical_name
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
