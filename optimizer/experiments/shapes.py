"""What an experiment looks like from outside: how it is asked for, changed and shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from optimizer.ingest.event import NOT_ENROLLED

LARGEST_COUNT = 2**31 - 1  # what the control plane's integers hold
Key = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s/]+$")]
MetricKey = Annotated[str, Field(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class VariantRequest(BaseModel):
    """One variant."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    weight: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(1, description="Share, in any scale.")
    value: Any = Field(None, description="What the variant's users get; null means the key.")


class GuardrailRequest(BaseModel):
    """A metric that must not get worse by more than a margin."""

    model_config = ConfigDict(extra="forbid")

    metric: MetricKey
    margin_relative: float = Field(
        0.02, ge=0, lt=1, allow_inf_nan=False, description="Acceptable loss, as a share of the control's mean."
    )


class NamespaceRequest(BaseModel):
    """A range of a namespace: experiments with ranges that do not touch have no unit in common."""

    model_config = ConfigDict(extra="forbid")

    name: Key
    start: Share = Field(alias="from", description="From this share of the units, 0 to 1.")
    end: Share = Field(alias="to", description="Up to this share, which is not in the range.")

    @model_validator(mode="after")
    def some_range(self) -> Self:
        """Refuse a range that nobody is in."""
        if self.start >= self.end:
            raise ValueError("`from` must be below `to`")
        return self


class ExperimentPatch(BaseModel):
    """What may be changed: everything in a draft, later only what leaves its error rate as it is."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=200, description="Shown to people.")
    hypothesis: str = Field("", max_length=5_000, description="What is expected and why.")
    unit: Literal["user", "anonymous", "session"] = Field(
        "user",
        description="user: a user if known, else an anonymous visitor; anonymous: the visitor; session: a visit.",
    )
    variants: list[VariantRequest] = Field([], max_length=50, description="The first one is the control.")
    allocation: float = Field(
        1.0, gt=0, le=1, allow_inf_nan=False, description="Share of the eligible units that take part; may only grow."
    )
    targeting: dict[str, Any] = Field(
        {}, description="Rule on the attributes of the evaluation context; {} is everybody. See docs/assignment.md."
    )
    namespace: NamespaceRequest | None = Field(None, description="For mutual exclusion; null shares every unit.")
    seed: str | None = Field(
        None, min_length=1, max_length=64, description="Of the split; null draws one. To go on with an older split."
    )
    primary_metric: MetricKey = Field(  # what was not sent is never read: a default would show as one to send
        default_factory=str, description="What decides; often a proxy. A metric or an event's name."
    )
    goal_metric: MetricKey | None = Field(None, description="The macro conversion behind it.")
    secondary_metrics: list[MetricKey] = Field([], max_length=50)
    guardrail_metrics: list[GuardrailRequest] = Field([], max_length=50)
    method: Literal["sequential", "fixed", "bayesian", "group_sequential"] = Field(
        "sequential",
        description="sequential may be read at any time; fixed has one verdict, at planned_visitors; "
        "group_sequential has planned_looks of them; bayesian carries no error guarantee.",
    )
    alpha: float = Field(0.05, gt=0, lt=1, allow_inf_nan=False, description="Two-sided error rate.")
    power: float = Field(0.8, gt=0, lt=1, allow_inf_nan=False)
    relative_mde: float | None = Field(None, gt=0, le=100, allow_inf_nan=False, description="From the plan.")
    planned_visitors: int | None = Field(
        None, gt=0, le=LARGEST_COUNT, description="Total over all variants, from the plan."
    )
    planned_looks: int | None = Field(None, ge=2, le=50, description="For group_sequential.")
    spending: Literal["obrien_fleming", "pocock"] = Field(
        "obrien_fleming", description="How group_sequential spends α (Lan-DeMets)."
    )
    covariate_days: int = Field(0, ge=0, le=365, description="Days before exposure that adjust the figures; 0: none.")
    look_every: Literal["day", "hour"] = Field("day", description="The grid of looks; hours cost more computation.")
    plan: dict[str, Any] | None = Field(None, description="What POST /v1/plans answered, kept to compare with.")
    scheduled_start_at: AwareDatetime | None = Field(None, description="Starts by itself; null: by hand.")
    scheduled_stop_at: AwareDatetime | None = Field(None, description="Stops by itself; null: by hand.")


class ExperimentRequest(ExperimentPatch):
    """A new experiment."""

    key: Key = Field(description="Stable identifier; exposures name it.")
    variants: list[VariantRequest] = Field(min_length=2, max_length=50, description="The first one is the control.")
    primary_metric: MetricKey = Field(description="What decides; often a proxy. A metric or an event's name.")

    @field_validator("variants")
    @classmethod
    def some_weight(cls, variants: list[VariantRequest]) -> list[VariantRequest]:
        """Refuse a split that nobody falls into."""
        check_variants(variants)
        return variants


class ExperimentAnswer(ExperimentPatch):
    """One experiment."""

    key: str
    seed: str = Field(description="With the unit it decides who sees what.")
    status: Literal["draft", "running", "stopped", "archived"]
    created_at: dt.datetime
    started_at: dt.datetime | None
    stopped_at: dt.datetime | None
    archived_at: dt.datetime | None
    winning_variant: str | None = Field(description="Rolled out: everybody gets it.")
    rolled_out_at: dt.datetime | None


def check_variants(variants: Sequence[VariantRequest]) -> None:
    """Raise ValueError for variants that no test can be made of."""
    keys = [variant.key for variant in variants]
    if len(keys) < 2:  # noqa: PLR2004 - a test compares
        raise ValueError("a test needs two variants or more")
    if NOT_ENROLLED in keys:
        raise ValueError(f"`{NOT_ENROLLED}` is what evaluations say of those who are not in a test, never a variant")
    if len(set(keys)) != len(keys):
        raise ValueError("variants must have different keys")
    if sum(variant.weight for variant in variants) <= 0:
        raise ValueError("at least one variant must have a weight above 0")
