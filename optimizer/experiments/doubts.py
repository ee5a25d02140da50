"""Exposures that will not count, and why: told at once to whoever sends them, not weeks later to whoever reads.

They are stored all the same: an experiment may be made or started afterwards, back to a time in the past.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence

from sqlalchemy.exc import SQLAlchemyError

from optimizer.experiments.flags import Flag, Flags
from optimizer.experiments.stickiness import unit_shown
from optimizer.ingest.event import Exposure

Doubt = tuple[str, str]  # code and sentence of a warning


class Doubts:
    """Looks at exposures as results will.

    Args:
        flags: The experiments.
    """

    def __init__(self, flags: Flags) -> None:
        self._flags = flags

    def about(self, project_id: int, exposures: Sequence[Exposure], received_at: dt.datetime) -> list[Doubt | None]:
        """Say of each exposure why it will not count; None where nothing speaks against it.

        Without an answer from the control plane nothing is doubted.
        """
        try:
            flags = self._flags.of(project_id)
        except SQLAlchemyError:
            return [None] * len(exposures)
        return [_doubt(flags, exposure, exposure.timestamp or received_at) for exposure in exposures]


def _doubt(flags: Mapping[str, Flag], exposure: Exposure, at: dt.datetime) -> Doubt | None:
    flag = flags.get(exposure.experiment)
    if flag is None:
        near = difflib.get_close_matches(exposure.experiment, flags, n=1)
        meant = f" Did you mean `{near[0]}`?" if near else ""
        return "unknown_experiment", f"No experiment has this key; it counts nowhere until one has.{meant}"
    if exposure.variant not in flag.values:
        known = ", ".join(flag.values)
        return "unknown_variant", f"The experiment has the variants {known}; seen in another, a unit does not count."
    if flag.started_at is None or at < flag.started_at:
        return "not_running", "The experiment had not started by then; start it `at` an earlier time to count it."
    if flag.stopped_at is not None and at > flag.stopped_at:
        return "not_running", "The experiment had stopped by then; it does not count."
    if not unit_shown(flag, exposure):
        return "wrong_unit", f"The experiment's unit is {flag.unit}: without that id it does not count."
    return None
