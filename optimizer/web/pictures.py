"""The pictures of results: what each capability's answer looks like, as specs of `charts`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from optimizer import wording
from optimizer.experiments.answers import ComparisonAnswer, MetricAnswer, ResultAnswer
from optimizer.experiments.report import LookPoint, Report, headline
from optimizer.web.charts import Axis, Estimate, Line, Tone, diagram, forest
from optimizer.web.drawing import Spec

KEY = "▲ shown to be better · ▼ shown to be worse · ● not shown to differ"
TONES: dict[str, Tone] = {"better": "good", "worse": "bad", "open": "neutral"}


def result_forest(
    result: ResultAnswer,
    *,
    name: str = "",
    decreasing: Collection[str] = (),
    margins: Mapping[str, float] | None = None,
) -> Spec:
    """Draw every comparison's relative effect with its interval, the primary metric first.

    Args:
        result: Figures and decision.
        name: The experiment, for the title.
        decreasing: Metrics where less is better.
        margins: Tolerated relative loss per guardrail, drawn as a tick.
    """
    rows = [
        _estimate(metric, one, metric.metric in decreasing, (margins or {}).get(metric.metric))
        for metric in result.metrics
        for one in metric.comparisons
    ]
    words = headline(result.decision)
    return forest(
        rows,
        title=f"{name}: {words[0].lower()}{words[1:]}" if name else words,
        subtitle="\n".join([*result.decision.reasons[:1], KEY + (" · | a guardrail's margin" if margins else "")]),
        axis=f"Effect relative to {_baseline(result)}, with its interval",
    )


def report_forest(report: Report) -> Spec:
    """Draw a report's figures."""
    name = report.experiment.name or report.experiment.key
    return result_forest(report.result, name=name, decreasing=report.decreasing, margins=report.margins)


def series_diagram(report: Report) -> Spec | None:
    """Draw how the primary metric's estimate and interval went from look to look; None before there are two."""
    start = report.experiment.started_at
    lines: dict[str, list[LookPoint]] = {one.variant: [] for one in report.series}
    for one in report.series:
        lines[one.variant].append(one)
    if start is None or not lines or max(map(len, lines.values())) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    relative = all(one.relative is not None and one.relative_interval is not None for one in report.series)

    def at(one: LookPoint) -> float:
        return (one.as_of - start).total_seconds() / 86_400

    def figures(one: LookPoint) -> tuple[float, float, float]:
        if relative and one.relative is not None and one.relative_interval is not None:
            return (one.relative, *one.relative_interval)
        return (one.absolute, *one.absolute_interval)

    drawn = [
        Line(
            variant,
            [(at(one), figures(one)[0]) for one in points],
            band=[(at(one), *figures(one)[1:]) for one in points],
        )
        for variant, points in lines.items()
    ]
    metric = report.experiment.primary_metric
    return diagram(
        drawn,
        x=Axis("Days since the start", step=1),
        y=Axis("Relative effect" if relative else "Effect", "+.1~%" if relative else "+.4~g", reference=0.0),
        title=f"{metric} from look to look",
        subtitle="The estimate and its interval at each cut-off of the stored grid",
        width=560,
        height=220,
    )


def _estimate(metric: MetricAnswer, found: ComparisonAnswer, less_is_better: bool, margin: float | None) -> Estimate:
    tolerated = None if margin is None else (margin if less_is_better else -margin)
    return Estimate(
        label=metric.metric,
        detail=f"{metric.role} · {found.variant}",
        value=found.relative,
        interval=found.relative_interval,
        words=wording.effect(found),
        tone=TONES[wording.verdict(found, less_is_better=less_is_better)],
        margin=tolerated,
    )


def _baseline(result: ResultAnswer) -> str:
    return next((one.baseline for metric in result.metrics for one in metric.comparisons), "the control")
