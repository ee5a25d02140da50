"""What a past experiment looks like from outside: sums per arm, and how the test was stopped."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from optimizer.core.proxies.corpus import ArmSums, check_arm

LARGEST = 1e15
SMALLEST_SQUARE, LARGEST_SQUARE = 1e-30, 1e30
Key = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s/\x00]+$")]
MetricKey = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Sum = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Product = Annotated[float, Field(ge=-LARGEST_SQUARE, le=LARGEST_SQUARE, allow_inf_nan=False)]
Moment = Annotated[
    AwareDatetime, Field(ge=dt.datetime(2000, 1, 1, tzinfo=dt.UTC), lt=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
]
Method = Literal["sequential", "fixed", "group_sequential", "bayesian", "unknown"]


class PastVariant(BaseModel):
    """One arm: how many units, and the sums over them. No unit is told apart."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    n: int = Field(ge=2, le=2**53, description="Units whose metrics are all complete.")
    sums: list[Sum] = Field(min_length=1, max_length=50, description="Σx per metric, in the order of `metrics`.")
    cross_products: list[list[Product]] = Field(
        min_length=1, max_length=50, description="Σxy per pair of metrics, symmetric; the diagonal is Σx²."
    )

    def as_arm(self) -> ArmSums:
        """Return the arm as the core takes it."""
        return ArmSums(self.n, np.array(self.sums, float), np.array(self.cross_products, float))


class Stopping(BaseModel):
    """What ended the test. A test that was stopped early on a lucky metric teaches too much of it."""

    model_config = ConfigDict(extra="forbid")

    metric: MetricKey | None = Field(None, description="The metric whose result stopped it; null: not known.")
    method: Method = Field("unknown", description="How it was read.")
    alpha: float | None = Field(None, gt=0, lt=1, allow_inf_nan=False)
    planned_visitors: int | None = Field(None, gt=0, le=2**31 - 1, description="Total over all arms.")
    stopped_early: bool | None = Field(
        None, description="Before its planned size; by default judged from n and planned_visitors."
    )


class PastExperimentRequest(BaseModel):
    """One finished experiment."""

    model_config = ConfigDict(extra="forbid")

    key: Key = Field(description="Stable identifier: the same key again replaces.")
    name: Text = Field("", max_length=200)
    change: Text = Field("", max_length=100, description="Type of change, such as `price` or `layout`.")
    started_at: Moment | None = None
    stopped_at: Moment | None = None
    stopping: Stopping = Field(default_factory=Stopping)
    metrics: list[MetricKey] = Field(min_length=1, max_length=50, description="Metric keys or events' names.")
    variants: list[PastVariant] = Field(min_length=2, max_length=50, description="The first one is the control.")

    @model_validator(mode="after")
    def ends_after_it_starts(self) -> Self:
        """Refuse a test that ended before it began."""
        if self.started_at and self.stopped_at and self.stopped_at <= self.started_at:
            raise ValueError("`stopped_at` must be after `started_at`")
        return self

    @property
    def stopped_early(self) -> bool | None:
        """Whether it ended before its planned size, as said or as its numbers show."""
        said, planned = self.stopping.stopped_early, self.stopping.planned_visitors
        if said is not None or planned is None:
            return said
        return sum(variant.n for variant in self.variants) < planned


class PastExperimentPatch(BaseModel):
    """What may be said later, also of an experiment that ran here."""

    model_config = ConfigDict(extra="forbid")

    change: Text = Field(max_length=100, description="Type of change, such as `price` or `layout`; empty for none.")


class PastExperimentAnswer(PastExperimentRequest):
    """One experiment of the history."""

    variants: list[PastVariant] = Field(description="The first one is the control; none where there are no sums.")
    metrics: list[MetricKey] = Field(description="In the order of all sums.")
    source: Literal["import", "service"] = Field(description="service: it ran here and entered by itself.")
    left_out: str = Field(description="Why it counts for nothing; empty when it counts.")
    entered_at: dt.datetime


class HistoryRequest(BaseModel):
    """Finished experiments, each judged by itself."""

    experiments: list[PastExperimentRequest] = Field(min_length=1, max_length=500)


class HistoryBody(BaseModel):
    """The same before its items are judged, so that one wrong item does not refuse the others."""

    model_config = ConfigDict(extra="forbid")

    experiments: list[Any] = Field(min_length=1, max_length=500)


class RejectedExperiment(BaseModel):
    """One item that was not stored."""

    index: int
    pointer: str = Field(description="The field, in the body.")
    code: str
    detail: str


class HistoryVerdict(BaseModel):
    """What became of each item."""

    accepted: int = Field(description="New ones.")
    replaced: int = Field(description="Known keys with other content.")
    unchanged: int = Field(description="Known keys with the same content.")
    rejected: list[RejectedExperiment]


def inconsistency(past: PastExperimentRequest) -> tuple[str, str, str] | None:
    """Say what does not fit together in one item.

    Returns:
        Pointer within the item, code and sentence; None when everything fits.
    """
    count = len(past.metrics)
    if len(set(past.metrics)) < count:
        return "/metrics", "duplicate_metric", "Name every metric once."
    if len({variant.key for variant in past.variants}) < len(past.variants):
        return "/variants", "duplicate_variant", "Variants must have different keys."
    for place, variant in enumerate(past.variants):
        wrong = _impossible(variant, count)
        if wrong:
            return f"/variants/{place}{wrong[0]}", wrong[1], wrong[2]
    return None


def _impossible(variant: PastVariant, count: int) -> tuple[str, str, str] | None:
    if len(variant.sums) != count:
        return "/sums", "wrong_length", f"One sum per metric, so {count}, in the order of `metrics`."
    at = "/cross_products"
    if len(variant.cross_products) != count or any(len(row) != count for row in variant.cross_products):
        return at, "wrong_shape", f"{count} rows of {count}, in the order of `metrics`."
    squares = [variant.cross_products[row][row] for row in range(count)]
    if any(0 < abs(square) < SMALLEST_SQUARE for square in squares):
        return at, "too_small", f"A sum of squares below {SMALLEST_SQUARE:g} says nothing: use a larger unit."
    sentence = check_arm(variant.as_arm())
    return (at, "impossible", sentence) if sentence else None
