"""What the rest of the service asks of this room; drawing is loaded with the first picture, not with the service.

The drawing libraries take a fifth of a second and 100 MB, which a service that only takes events need not pay.
"""

from __future__ import annotations

from typing import Literal

from optimizer.experiments.planning.shapes import PlannedTest
from optimizer.experiments.report import Report
from optimizer.signals.answers import SignalsAnswer
from optimizer.signals.likelihood import ModelCard
from optimizer.signals.proxy_shapes import EffectsAnswer
from optimizer.signals.value_shapes import ValueTable


def report_page(report: Report) -> str:
    """Write a report as one HTML file that needs no other."""
    from optimizer.web import pages  # noqa: PLC0415 - see the module's docstring

    return pages.report_page(report)


def report_picture(report: Report, form: Literal["svg", "png", "vega"]) -> bytes:
    """Draw a report's figures."""
    from optimizer.web import drawing, pictures  # noqa: PLC0415 - see the module's docstring

    return drawing.render(pictures.report_forest(report), form)


def plan_picture(planned: PlannedTest, form: Literal["svg", "png", "vega"]) -> bytes:
    """Draw a plan: what each metric costs, and what it could see."""
    from optimizer.web import drawing, plan_pictures  # noqa: PLC0415 - see the module's docstring

    return drawing.render(plan_pictures.plan_diagram(planned), form)


def calibration_picture(card: ModelCard, form: Literal["svg", "png", "vega"]) -> bytes:
    """Draw what a model predicted against what happened."""
    from optimizer.web import drawing, model_pictures  # noqa: PLC0415 - see the module's docstring

    return drawing.render(model_pictures.calibration(card), form)


def value_picture(table: ValueTable, form: Literal["svg", "png", "vega"]) -> bytes:
    """Draw what was told of journeys against what they brought, week by week."""
    from optimizer.web import drawing, model_pictures  # noqa: PLC0415 - see the module's docstring

    return drawing.render(model_pictures.reconciliation(table), form)


def effects_picture(found: EffectsAnswer, form: Literal["svg", "png", "vega"]) -> bytes:
    """Draw past effects of a proxy against the goal's."""
    from optimizer.web import drawing, proxy_pictures  # noqa: PLC0415 - see the module's docstring

    return drawing.render(proxy_pictures.effects_scatter(found), form)


def signals_picture(
    answer: SignalsAnswer, picture: Literal["lift", "calibration"], form: Literal["svg", "png", "vega"]
) -> bytes:
    """Draw a ranking: its lifts, or its values against those of held-out weeks."""
    from optimizer.web import drawing, signal_pictures  # noqa: PLC0415 - see the module's docstring

    draw = signal_pictures.lift_forest if picture == "lift" else signal_pictures.value_calibration
    return drawing.render(draw(answer), form)
