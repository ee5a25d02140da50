"""Who gets which variant, decided from memory alone; stored assignments are asked only where they may differ.

The order is the order of what may change. Consent comes first and may be withdrawn at any time. A unit that was
exposed keeps its variant whatever else changes: its attributes, the holdouts, the person's id. Namespace, allocation
and split are hashes of the unit, fixed while the experiment runs, so that asking again gives the same answer without
any memory of the first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.core import targeting
from optimizer.errors import InvalidInputError
from optimizer.experiments.flags import Flag
from optimizer.ingest.event import NOT_ENROLLED, Exposure
from optimizer.ingest.identity import unit_of

LONGEST_ID = 200
Reason = Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DEFAULT", "DISABLED"]
Why = Literal[
    "rolled_out", "not_running", "no_consent", "outside_namespace", "outside_allocation", "holdout", "not_targeted",
    "hash", "exposed_before",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, as the evaluation context says it.

    Attributes:
        key: The targeting key.
        user_id: Known user.
        anonymous_id: Known visitor.
        session_id: Known visit.
        consents: To analytics; None is unknown.
        attributes: What rules are asked about.
    """

    key: str | None
    user_id: str | None
    anonymous_id: str | None
    session_id: str | None
    consents: bool | None
    attributes: Mapping[str, Any]

    def units(self, kind: str) -> tuple[str, ...]:
        """Return the units that this visitor is to an experiment of a kind, the one that counts first."""
        if kind == "session":
            found = self.session_id or self.key
            return (f"s:{found}",) if found else ()
        if kind == "anonymous":
            found = self.anonymous_id or self.key
            return (f"a:{found}",) if found else ()
        user = self.user_id or (self.key if self.key != self.anonymous_id else None)
        named = (unit_of(user, None), unit_of(None, self.anonymous_id))
        return tuple(unit for unit in named if unit)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a visitor gets.

    Attributes:
        variant: Its key; `NOT_ENROLLED` for whoever is not in the test.
        value: What the application gets.
        reason: In OpenFeature's terms.
        why: In ours.
        unit: Whom it counts for, when enrolled.
        holdout: The holdout that the unit is in.
    """

    variant: str
    value: Any
    reason: Reason
    why: Why
    unit: str | None = None
    holdout: str | None = None


Lookup = Callable[[int, Sequence[str]], str | None]


def read_visitor(context: Mapping[str, Any]) -> Visitor:
    """Read an evaluation context.

    Raises:
        InvalidInputError: An id is not a text of 1 to 200 characters, or consent is not what events call it.
    """
    consent = context.get("consent") or {}
    consents = consent.get("analytics") if isinstance(consent, Mapping) else consent
    if not isinstance(consents, bool | None):
        detail = '`consent` is an object such as {"analytics": true}.'
        raise InvalidInputError.at("/context/consent", "not_consent", detail)
    key, user, anonymous, session = (
        _identifier(context, name) for name in ("targetingKey", "user_id", "anonymous_id", "session_id")
    )
    return Visitor(key, user, anonymous, session, consents, context)


def decide(
    flag: Flag, visitor: Visitor, look_up: Lookup, *, randomise_without_consent: bool, now: dt.datetime
) -> Decision | None:
    """Decide what a visitor gets; None when the experiment needs an id that the context does not hold.

    Args:
        flag: The experiment.
        visitor: Who asks.
        look_up: Finds the variant that any of some units was first exposed to, by experiment; asked only when needed.
        randomise_without_consent: The project's setting.
        now: When, aware UTC.
    """
    running = flag.runs(now)
    if not running and flag.winner is None:
        return _outside(flag, "DISABLED", "not_running")
    units = visitor.units(flag.unit)
    if not units:
        return None
    if not running:
        return _rolled_out(flag, visitor, units[0])
    if visitor.consents is False and not randomise_without_consent:
        return _outside(flag, "DEFAULT", "no_consent")
    hashed = _by_hash(flag, visitor, units[0])
    # What may have changed since the exposure: attributes, holdouts, the person's id; and strays of any kind.
    others = {flag.hashed(unit) for unit in units[1:]} - {None, hashed.variant}
    may_differ = flag.strays or bool(others) or hashed.why in {"not_targeted", "holdout"}
    kept = look_up(flag.id, units) if may_differ else None
    if kept is not None and kept in flag.values:
        why: Why = "hash" if kept == hashed.variant else "exposed_before"
        return Decision(kept, flag.values[kept], "SPLIT", why, units[0])
    return hashed


def exposure_of(flag: Flag, decision: Decision, visitor: Visitor, identifier: str, now: dt.datetime) -> Exposure:
    """Describe the exposure of an enrolled visitor as if a tracker had sent it."""
    kind, _, plain = (decision.unit or "").partition(":")
    user = visitor.user_id or (plain if kind == "u" else None)
    visit = plain if kind == "s" else visitor.session_id
    # A visit of nobody known is its own visitor, so that its exposure belongs to somebody.
    anonymous = plain if kind == "a" else visitor.anonymous_id or (visit if user is None else None)
    return Exposure(
        experiment=flag.key,
        variant=decision.variant,
        user_id=user,
        anonymous_id=anonymous,
        session_id=visit,
        timestamp=now,
        exposure_id=identifier,
    )


def _by_hash(flag: Flag, visitor: Visitor, unit: str) -> Decision:
    if flag.place is not None and not flag.place.holds(unit):
        return _outside(flag, "DEFAULT", "outside_namespace")
    variant = flag.hashed(unit)
    if variant is None:
        return _outside(flag, "DEFAULT", "outside_allocation")
    holdout = _holdout(flag, unit)
    if holdout is not None:
        return _outside(flag, "DEFAULT", "holdout", holdout)
    if not targeting.targets(flag.rule, visitor.attributes):
        return _outside(flag, "DEFAULT", "not_targeted")
    return Decision(variant, flag.values[variant], "SPLIT", "hash", unit)


def _rolled_out(flag: Flag, visitor: Visitor, unit: str) -> Decision:
    holdout = _holdout(flag, unit)
    if holdout is not None:
        return _outside(flag, "DEFAULT", "holdout", holdout)
    if not targeting.targets(flag.rule, visitor.attributes):
        return _outside(flag, "DEFAULT", "not_targeted")
    winner = flag.winner if flag.winner in flag.values else flag.control
    reason: Reason = "STATIC" if flag.rule is None else "TARGETING_MATCH"
    return Decision(winner or flag.control, flag.values[winner or flag.control], reason, "rolled_out")


def _holdout(flag: Flag, unit: str) -> str | None:
    return next((held.key for held in flag.holdouts if held.holds(unit)), None)


def _outside(flag: Flag, reason: Reason, why: Why, holdout: str | None = None) -> Decision:
    return Decision(NOT_ENROLLED, flag.values[flag.control], reason, why, holdout=holdout)


def _identifier(context: Mapping[str, Any], name: str) -> str | None:
    value = context.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_ID:
        detail = f"`{name}` must be a text of 1 to {LONGEST_ID} characters."
        raise InvalidInputError.at(f"/context/{name}", "not_an_id", detail)
    return value
