"""Figures as people read them, the same in a terminal, on a page and in a picture."""

from __future__ import annotations

from typing import Literal, Protocol

NONE = "–"
PROVEN_BELOW = 0.001
Pair = tuple[float, float]
WHOLE_FROM = 100
NOTABLE = 0.005
MEDIAN = 0.5
MARKS = {"passed": "✓", "failed": "✗", "warned": "!"}
TEENS = ("11", "12", "13")


class _Unadjusted(Protocol):
    """A comparison without covariates."""

    @property
    def absolute(self) -> float: ...
    @property
    def relative(self) -> float | None: ...


class _Found(Protocol):
    """A comparison, whichever class holds it."""

    @property
    def absolute(self) -> float | None: ...
    @property
    def absolute_interval(self) -> Pair | None: ...
    @property
    def relative(self) -> float | None: ...
    @property
    def relative_interval(self) -> Pair | None: ...
    @property
    def significant(self) -> bool: ...
    @property
    def status(self) -> str: ...
    @property
    def chance_to_win(self) -> float | None: ...
    @property
    def expected_loss(self) -> float | None: ...
    @property
    def shrunk_relative(self) -> float | None: ...
    @property
    def variance_reduction(self) -> float | None: ...
    @property
    def unadjusted(self) -> _Unadjusted | None: ...


class _Forecast(Protocol):
    """What a proxy's effect says of the goal."""

    @property
    def relative(self) -> float: ...
    @property
    def interval(self) -> Pair | None: ...
    @property
    def basis(self) -> str: ...
    @property
    def score(self) -> str: ...
    @property
    def measured(self) -> float | None: ...
    @property
    def measured_interval(self) -> Pair | None: ...


class _Check(Protocol):
    """One health check."""

    @property
    def passed(self) -> bool: ...
    @property
    def holds_back(self) -> bool: ...


class _Metric(Protocol):
    """One metric, whichever class holds it."""

    @property
    def role(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def quantile(self) -> float | None: ...


class _Arm(Protocol):
    """One variant on one metric."""

    @property
    def mean(self) -> float | None: ...
    @property
    def conversions(self) -> int | None: ...


def signed(value: float, *, percent: bool) -> str:
    """Write an effect with its sign: as a percentage with one digit, or with four digits that count."""
    shown = f"{value:+.1%}" if percent else f"{value:+.4g}"
    return shown.replace("-", "−")


def effect(found: _Found) -> str:
    """Write an effect, relative where there is one, with its interval; or why there is none."""
    if found.relative is not None and found.relative_interval is not None:
        return _with_interval(found.relative, found.relative_interval, percent=True)
    if found.absolute is not None and found.absolute_interval is not None:
        return _with_interval(found.absolute, found.absolute_interval, percent=False)
    return found.status.replace("_", " ")


def absolute(found: _Found, *, rate: bool) -> str:
    """Write the absolute effect with its interval: of rates in percentage points."""
    if found.absolute is None or found.absolute_interval is None:
        return NONE
    if not rate:
        return _with_interval(found.absolute, found.absolute_interval, percent=False)
    shown, low, high = (
        f"{100 * value:+.3g}".replace("-", "−") for value in (found.absolute, *found.absolute_interval)
    )
    return f"{shown} pp ({low} to {high})"


def forecast(goal: str, found: _Forecast) -> str:
    """Say what the primary metric's effect means for the goal, on which basis, and how it went before."""
    shown = signed(found.relative, percent=True)
    if found.interval is not None:
        shown = _with_interval(found.relative, found.interval, percent=True)
    measured = ""
    if found.measured is not None and found.measured_interval is not None:
        measured = f" Measured so far: {_with_interval(found.measured, found.measured_interval, percent=True)}."
    elif found.measured is not None:
        measured = f" Measured so far: {signed(found.measured, percent=True)}."
    return f"Forecast for {goal}: {shown}; {found.basis.rstrip('.')}.{measured} {found.score}".rstrip()


def p_value(value: float | None) -> str:
    """Write a p-value."""
    if value is None:
        return NONE
    return f"{value:.3f}" if value >= PROVEN_BELOW else "< 0.001"


def check(found: _Check) -> Literal["passed", "failed", "warned"]:
    """Say how a health check went: one that holds no decision back can only warn."""
    if found.passed:
        return "passed"
    return "failed" if found.holds_back else "warned"


def kind(metric: _Metric) -> str:
    """Write what a metric is: its type, or which percentile."""
    if metric.quantile is None:
        return metric.type
    if metric.quantile == MEDIAN:
        return "median"
    place = f"{100 * metric.quantile:.10g}"
    ending = {"1": "st", "2": "nd", "3": "rd"}.get(place[-1], "th")
    return f"{place}{'th' if '.' in place or place in TEENS else ending} percentile"


def role(metric: _Metric) -> str:
    """Write what a metric is for, and which percentile it is."""
    return metric.role if metric.quantile is None else f"{metric.role}, {kind(metric)}"


def mean(arm: _Arm) -> str:
    """Write an arm's mean: a rate as a percentage."""
    if arm.mean is None:
        return NONE
    return f"{arm.mean:.2%}" if arm.conversions is not None else f"{arm.mean:,.4g}"


def notes(found: _Found) -> list[str]:
    """Say what else is known of a comparison, each in a few words."""
    lines = []
    if found.unadjusted is not None and found.variance_reduction is not None:
        plain = found.unadjusted.relative
        shown = signed(found.unadjusted.absolute if plain is None else plain, percent=plain is not None)
        taken = f"{found.variance_reduction:.0%}" if found.variance_reduction >= NOTABLE else "hardly any"
        lines.append(f"without covariates {shown}; they took away {taken} of the variance")
    if found.shrunk_relative is not None and found.significant:
        lines.append(f"{signed(found.shrunk_relative, percent=True)} after taking out a winner's luck")
    if found.chance_to_win is not None:
        lines.append(f"chance to be better {found.chance_to_win:.1%}")
    if found.expected_loss is not None:
        lines.append(f"expected loss {found.expected_loss:.3g}")
    return lines


def share(value: float | None) -> str:
    """Write a rate as a percentage."""
    return NONE if value is None else f"{value:.2%}"


def number(value: float | None) -> str:
    """Write a number with the digits that count, whole numbers whole."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= WHOLE_FROM else f"{value:.4g}"


def verdict(found: _Found, *, less_is_better: bool = False) -> Literal["better", "worse", "open"]:
    """Say on which side an effect is shown to lie."""
    if not found.significant or found.absolute is None:
        return "open"
    return "better" if (found.absolute > 0) != less_is_better else "worse"


def days(count: int | None) -> str:
    """Write a duration, in weeks where it is whole weeks."""
    if count is None:
        return NONE
    weeks, rest = divmod(count, 7)
    if rest or not weeks:
        return _counted(count, "day")
    return _counted(weeks, "week")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _with_interval(value: float, interval: tuple[float, float], *, percent: bool) -> str:
    shown, low, high = (signed(number, percent=percent) for number in (value, *interval))
    return f"{shown} ({low} to {high})"
