"""Pages that stand alone: one file with its style and its pictures, so that it can be mailed, printed and kept."""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from optimizer import wording
from optimizer.experiments.answers import ComparisonAnswer, MetricResult
from optimizer.experiments.report import Report
from optimizer.web.drawing import Spec, render
from optimizer.web.pictures import report_forest, series_diagram

SYMBOLS = {"ship": "✓", "stop": "■", "continue": "▶", "investigate": "!"}
VERDICTS = {"better": "▲ better", "worse": "▼ worse", "open": "not shown to differ"}

# Names and texts come from whoever wrote them: everything is escaped but what is drawn here.
PAGES = Environment(
    loader=PackageLoader("optimizer.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def report_page(report: Report) -> str:
    """Write a report as one HTML file that fetches nothing and runs nothing."""
    series = series_diagram(report)
    methods = {one.method for metric in report.result.metrics for one in metric.comparisons if one.method}
    return PAGES.get_template("report.html").render(
        report=report,
        name=report.experiment.name or report.experiment.key,
        symbol=SYMBOLS[report.result.decision.action],
        style=_own("report.css"),
        forest=_inline(report_forest(report)),
        series=_inline(series) if series else None,
        plan=_plan(report),
        conventions="; ".join(sorted(methods)) or "none applied yet",
        version=version("optimizer"),
        wording=wording,
        moment=_moment,
        comparisons=lambda metric: {one.variant: one for one in metric.comparisons},
        window=lambda name: _window(report.windows.get(name)),
        verdict=lambda metric, found: _verdict(report, metric, found),
    )


def _inline(spec: Spec) -> Markup:
    return Markup(render(spec, "svg").decode())  # noqa: S704 - drawn by us; the renderer escapes every text


def _own(name: str) -> Markup:
    source, _, _ = PAGES.loader.get_source(PAGES, name)  # type: ignore[union-attr] # the loader is set above
    return Markup(source)  # noqa: S704 - our own style sheet


def _moment(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%d %b %Y, %H:%M} UTC"


def _window(hours: float | None) -> str:
    if not hours:
        return ""
    return f"within {wording.days(int(hours // 24))}" if hours % 24 == 0 else f"within {hours:g} hours"


def _verdict(report: Report, metric: MetricResult, found: ComparisonAnswer) -> str:
    if found.status != "ok":
        return found.detail or found.status.replace("_", " ")
    return VERDICTS[wording.verdict(found, less_is_better=metric.metric in report.decreasing)]


def _plan(report: Report) -> list[tuple[str, str, str]]:
    plan, design = report.result.plan, report.experiment
    primary = next(metric for metric in report.result.metrics if metric.role == "primary")
    effects = "; ".join(wording.effect(one) for one in primary.comparisons)
    mde = wording.signed(design.relative_mde, percent=True) if design.relative_mde else wording.NONE
    rows = [(f"Effect on {primary.metric}", mde, effects), ("Power", f"{design.power:.0%}", wording.NONE)]
    if plan is None:
        return [("Visitors", wording.NONE, f"{sum(report.result.exposed_so_far.values()):,}"), *rows]
    level = wording.share if primary.type == "proportion" else wording.number
    share = f" ({plan.share:.0%})" if plan.share is not None else ""
    return [
        ("Visitors", wording.number(plan.planned_visitors), f"{plan.visitors:,}{share}"),
        ("New visitors a day", wording.number(plan.daily_visitors_planned), wording.number(plan.daily_visitors)),
        ("Days", wording.number(plan.days_planned), wording.number(plan.days)),
        (f"{primary.metric} in the control", level(plan.baseline_planned), level(plan.baseline)),
        *rows,
    ]
