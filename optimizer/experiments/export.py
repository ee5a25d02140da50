"""A result as flat rows, one per metric and comparison, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from optimizer.experiments.answers import ComparisonAnswer, MetricResult, ResultAnswer, VariantAnswer

Cell = str | int | float | bool | None
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def result_rows(result: ResultAnswer) -> list[dict[str, Cell]]:
    """Flatten a result; every row carries the decision, so that no row can be read without it."""
    return [
        _row(metric, comparison) | {"decision": result.decision.action}
        for metric in result.metrics
        for comparison in metric.comparisons
    ]


def to_csv(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Write rows as CSV with a header; texts that a spreadsheet would run as formulas are quoted."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0] if rows else ())
    writer.writerows([_safe(cell) for cell in row.values()] for row in rows)
    return buffer.getvalue()


def _safe(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _row(metric: MetricResult, comparison: ComparisonAnswer) -> dict[str, Cell]:
    arms = {variant.variant: variant for variant in metric.variants}
    return {
        "metric": metric.metric,
        "role": metric.role,
        "type": metric.type,
        "quantile": metric.quantile,
        "variant": comparison.variant,
        "baseline": comparison.baseline,
        **_arm("variant", arms[comparison.variant]),
        **_arm("baseline", arms[comparison.baseline]),
        "absolute": comparison.absolute,
        **_ends("absolute", comparison.absolute_interval),
        "relative": comparison.relative,
        **_ends("relative", comparison.relative_interval),
        "level": comparison.level,
        "p_value": comparison.p_value,
        "adjusted_p_value": comparison.adjusted_p_value,
        "chance_to_win": comparison.chance_to_win,
        "expected_loss": comparison.expected_loss,
        "shrunk_relative": comparison.shrunk_relative,
        "unadjusted_relative": comparison.unadjusted.relative if comparison.unadjusted else None,
        "variance_reduction": comparison.variance_reduction,
        "significant": comparison.significant,
        "status": comparison.status,
        "detail": comparison.detail,
        "method": comparison.method,
    }


def _arm(name: str, arm: VariantAnswer) -> dict[str, Cell]:
    return {f"{name}_units": arm.units, f"{name}_mean": arm.mean}


def _ends(name: str, interval: tuple[float, float] | None) -> dict[str, Cell]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
