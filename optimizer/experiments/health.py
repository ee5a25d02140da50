"""Whether an experiment's data can be trusted: checks that hold a decision back, and warnings that do not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from optimizer.core.stats.balance import asymmetry, covariate_balance
from optimizer.core.stats.comparison import Case
from optimizer.core.stats.decisions import Check
from optimizer.core.stats.drift import days_of, linear_days, novelty, ramp, weekday_dependence
from optimizer.core.stats.figures import Measure
from optimizer.core.stats.multiplicity import holm
from optimizer.core.stats.srm import RED_BELOW
from optimizer.core.stats.words import p_words
from optimizer.experiments.cohort import Exposed
from optimizer.experiments.finished import total
from optimizer.experiments.gather import Gathered
from optimizer.experiments.progress import days_run
from optimizer.storage.tables import Experiment

TOLERATED_SHARE = 0.01
WEEK = 7
NO_DRIFT = (
    "Novelty, day of the week and changes of the split are not looked for in a quantile: its days do not add up."
)
UNLIKE_MERGES = (
    "Visits before and after a log-in count as one unit, so where more log in, other units are compared; "
    "`unit` anonymous compares visitors whether they log in or not."
)


def exposure_checks(gathered: Gathered) -> list[Check]:
    """Check who was exposed, who became a user since, and what the variants' units did before.

    How many became users can differ because of what is tested (a log-in that works better), so it warns and no more.
    """
    if gathered.exposed is None:
        return []
    return [*_counted(gathered.exposed), *_merges(gathered.exposed), *_covariates(gathered)]


def warnings_of(experiment: Experiment, gathered: Gathered, primary: Case | None, *, as_of: dt.datetime) -> list[str]:
    """Say what a careful reader should know, though the data may be sound."""
    said = list(gathered.notes)
    if gathered.exposed is not None:
        said += [f"{check.detail} {UNLIKE_MERGES}" for check in _merges(gathered.exposed) if not check.passed]
    days = days_run(experiment, as_of)
    if gathered.units_by_day and days < WEEK:
        said.append(f"{days:.1f} days of data: less than a whole week, and weekdays differ from weekends.")
    if primary is not None and gathered.units_by_day:
        said += _drift(experiment, gathered, primary.measure)
    return said


def _drift(experiment: Experiment, gathered: Gathered, measure: Measure) -> Iterator[str]:
    """Say of the primary metric where its effect does not hold still."""
    if measure.family == "quantile":
        yield NO_DRIFT
        return
    days = gathered.days_of(experiment.primary_metric)
    rows = [(day.weekday(), days[day]) for day in sorted(days)]
    windows = [group.window_hours for group in gathered.groups if experiment.primary_metric in group.measures]
    control = gathered.arms[0]
    for variant in gathered.arms[1:]:
        daily = days_of(rows, measure, control, variant)
        found = (
            novelty(daily, relative=None in windows),
            weekday_dependence(daily),
            ramp(linear_days(rows, measure, control, variant)),
        )
        yield from (f"{variant}: {drift.detail}" for drift in found if drift.found)


def _counted(exposed: Exposed) -> Iterator[Check]:
    whole = sum(exposed.units.values()) + exposed.mixed + exposed.unknown
    rows = (
        ("one_variant_per_unit", exposed.mixed, "units were seen in two variants and are left out"),
        ("known_variants", exposed.unknown, "units were seen only in variants that the design does not know"),
        (
            "identified_exposures",
            exposed.unidentified,
            "exposures carry no id of the experiment's unit and are left out",
        ),
    )
    for name, count, what in rows:
        detail = f"{count:,} of {whole:,} {what}; up to 1% is tolerated."
        yield Check(name, count <= TOLERATED_SHARE * whole, detail)


def _merges(exposed: Exposed) -> Iterator[Check]:
    """Compare how many log in: the variant where more do has more visitors merged, and other units left."""
    merged, units = exposed.merged, exposed.units
    if any(merged.values()):
        what = f"anonymous when exposed and users by now ({', '.join(exposed.keys)})"
        found = asymmetry([merged[key] for key in exposed.keys], [units[key] for key in exposed.keys], what)
        yield Check("merged_visitors", found.passed, found.detail, found.p_value, holds_back=False)


def _covariates(gathered: Gathered) -> Iterator[Check]:
    """Compare what units did before their exposure: it cannot differ between variants, other than by chance."""
    found = []
    for group in gathered.groups:
        row = total(gathered.days[group.place], gathered.arms, group)
        keys = {measure.value[1:]: key for key, measure in group.measures.items()}
        for column in group.columns:
            if column.before:
                balance = covariate_balance(row, column.name)
                said = balance.detail.removeprefix(column.name).rstrip(".")
                found.append((balance.p_value, f"{keys[column.name[1:]]}{said}"))
    if found:
        adjusted = holm([p for p, _ in found])
        worst, (_, detail) = min(zip(adjusted, found, strict=True), key=lambda pair: pair[0])
        said = (
            f"Of {len(found)} figures the least alike is {detail} (Holm: {p_words(worst, 3)}, red below {RED_BELOW})."
        )
        yield Check("covariate_balance", worst >= RED_BELOW, said, worst)
