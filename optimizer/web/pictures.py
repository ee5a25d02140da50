"""The pictures of results: what each capability's answer looks like, as specs of `charts`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from optimizer import wording
from optimizer.experiments.answers import ComparisonAnswer, MetricResult, ResultAnswer, SeriesPoint
from optimizer.experiments.report import LookPoint, Report, headline
from optimizer.web.charts import Axis, Estimate, Line, Tone, diagram, forest
from optimizer.web.drawing import Spec

KEY = "▲ shown to be better · ▼ shown to be worse · ● not shown to differ"
DAY = dt.timedelta(days=1)
Points = Sequence[tuple[str, float, LookPoint | SeriesPoint]]  # variant, days since the start, figures
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
    """Draw how the primary metric's estimate and interval grew; None before there are two points of one variant.

    From look to look; of a test that was read once, such as one whose history was loaded, from day to day.
    """
    start = report.experiment.started_at
    if start is None:
        return None
    looks = [(one.variant, (one.as_of - start) / DAY, one) for one in report.series]
    if _is_line(looks):
        subtitle = "The estimate and its interval at each cut-off of the stored grid"
        return _grown(report, looks, "from look to look", subtitle)
    primary = next(metric for metric in report.result.metrics if metric.role == "primary")
    days = [(one.variant, (_end(one.through) - start) / DAY, one) for one in primary.series if one.status == "ok"]
    if not _is_line(days):
        return None
    subtitle = "The estimate and its interval over the units first exposed up to each day, as known now: no looks"
    return _grown(report, days, "from day to day", subtitle)


def _is_line(points: Points) -> bool:
    return any(count > 1 for count in Counter(variant for variant, _, _ in points).values())


def _end(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC) + DAY


def _grown(report: Report, points: Points, how: str, subtitle: str) -> Spec:
    metric = report.experiment.primary_metric
    relative = all(one.relative is not None and one.relative_interval is not None for _, _, one in points)
    lines: dict[str, list[tuple[float, float, float, float]]] = {}
    for variant, at, one in points:
        value, ends = (one.relative, one.relative_interval) if relative else (one.absolute, one.absolute_interval)
        if value is not None and ends is not None:
            lines.setdefault(variant, []).append((at, value, *ends))
    drawn = [
        Line(variant, [(at, value) for at, value, _, _ in one], band=[(at, low, high) for at, _, low, high in one])
        for variant, one in lines.items()
    ]
    return diagram(
        drawn,
        x=Axis("Days since the start", step=1),
        y=Axis("Relative effect" if relative else "Effect", "+.1~%" if relative else "+.4~g", reference=0.0),
        title=f"{metric} {how}",
        subtitle=subtitle,
        width=560,
        height=220,
    )


def _estimate(metric: MetricResult, found: ComparisonAnswer, less_is_better: bool, margin: float | None) -> Estimate:
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
