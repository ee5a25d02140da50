"""Assignment for every OpenFeature SDK: the OpenFeature Remote Evaluation Protocol (OFREP), in its own terms.

Source: `service/openapi.yaml` of open-feature/protocol. Its errors are not problem documents but
`{"key", "errorCode", "errorDetails"}`, and a flag that fails within a bulk evaluation fails alone. Whoever evaluates
a test without being in it gets the control's value under the variant `not_enrolled`, so that no hook that reports
every evaluation can count them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from optimizer.api._auth import NEEDED_SCOPE, authenticate, presented_key
from optimizer.api._bodies import describes_body, read_json
from optimizer.api._context import now, project, project_id, services
from optimizer.api._problems import Refusal
from optimizer.api.ingest import origin
from optimizer.errors import (
    BusyError,
    ForbiddenError,
    InvalidInputError,
    TooLargeError,
    UnauthenticatedError,
    UnreadableInputError,
)
from optimizer.experiments.assignment import Decision, Visitor, decide, exposure_of, read_visitor
from optimizer.experiments.flags import Flag
from optimizer.ingest.service import Decoded

RECORD = "record_exposure"
blueprint = APIBlueprint("ofrep", __name__, tag="Assignment")


class EvaluationBody(BaseModel):
    """Who asks."""

    context: dict[str, Any] = Field(
        description="`targetingKey` names the unit; `user_id`, `anonymous_id`, `session_id` and `consent` may be "
        "said besides, as in events; everything else is an attribute that targeting may ask about."
    )


class EvaluationAnswer(BaseModel):
    """What one flag evaluates to."""

    key: str
    value: Any = Field(description="The variant's value; the control's for whoever is not in the test.")
    reason: str = Field(description="SPLIT, STATIC, TARGETING_MATCH, DEFAULT or DISABLED.")
    variant: str = Field(description="The variant's key; `not_enrolled` for whoever is not in the test.")
    metadata: dict[str, str | bool] = Field(description="`enrolled`, and `why`.")


class BulkAnswer(BaseModel):
    """What every flag evaluates to; one that fails fails alone."""

    flags: list[EvaluationAnswer | Refusal]


class _RefusedError(Exception):
    """Ends an evaluation with an answer in OFREP's own terms."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


View = Callable[..., Response]


def _in_its_own_terms(view: Callable[..., Response]) -> View:
    """Let a view's refusals be answered as OFREP says."""

    def answered(key: str | None = None) -> Response:
        try:
            authenticate(request.headers.get("X-API-Key") or presented_key(request), "ingest")
            return view() if key is None else view(key)
        except _RefusedError as refused:
            said = {"errorCode": refused.code, "errorDetails": refused.detail}
            return _json({**({} if key is None else {"key": key}), **said}, refused.status, refused.headers)
        except UnauthenticatedError as error:
            return _json({"errorDetails": error.detail}, 401, {"WWW-Authenticate": "Bearer"})
        except ForbiddenError as error:
            return _json({"errorDetails": error.detail}, 403)

    answered.__name__ = view.__name__
    answered.__doc__ = view.__doc__
    setattr(answered, NEEDED_SCOPE, "ingest")
    return answered


@blueprint.post("/ofrep/v1/evaluate/flags/<key>")
@describes_body(EvaluationBody)
@blueprint.output(EvaluationAnswer)
@blueprint.doc(
    summary="Evaluate one flag (OFREP)",
    description="The flag's key is the experiment's. `?record_exposure=true` keeps the exposure, durably, before the "
    "answer; repeats count once.",
    security="bearer",
)
@_in_its_own_terms
def evaluate_flag(key: str) -> Response:
    """Evaluate one flag."""
    visitor = _visitor()
    flag = _flags().get(key)
    if flag is None:
        raise _RefusedError(404, "FLAG_NOT_FOUND", "No experiment of this project that is not archived has this key.")
    [decision] = _decide([flag], visitor)
    if decision is None:
        raise _RefusedError(400, "TARGETING_KEY_MISSING", _missing(flag))
    if _wants_record() and decision.unit is not None and visitor.consents is not False:
        _record(flag, decision, visitor)
    return _json(_answer(flag, decision))


@blueprint.post("/ofrep/v1/evaluate/flags")
@describes_body(EvaluationBody)
@blueprint.output(BulkAnswer)
@blueprint.doc(
    summary="Evaluate every flag (OFREP)",
    description="With an ETag: If-None-Match answers 304 while nothing has changed for this context.",
    security="bearer",
    responses={304: "Nothing has changed; there is no body"},
)
@_in_its_own_terms
def evaluate_flags() -> Response:
    """Evaluate every flag."""
    visitor = _visitor()
    if _wants_record():
        detail = f"`{RECORD}` goes with the evaluation of one flag: a bulk evaluation shows nobody anything yet."
        raise _RefusedError(400, "GENERAL", detail)
    flags = list(_flags().values())
    decided = zip(flags, _decide(flags, visitor), strict=True)
    body = msgspec.json.encode({"flags": [_item(flag, decision) for flag, decision in decided]})
    etag = hashlib.blake2b(body, digest_size=16).hexdigest()
    known = request.if_none_match.contains_weak(etag)
    response = Response(None if known else body, 304 if known else 200, mimetype="application/json")
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _item(flag: Flag, decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {"key": flag.key, "errorCode": "TARGETING_KEY_MISSING", "errorDetails": _missing(flag)}
    return _answer(flag, decision)


def _answer(flag: Flag, decision: Decision) -> dict[str, Any]:
    metadata: dict[str, str | bool] = {"enrolled": decision.unit is not None, "why": decision.why}
    if decision.holdout is not None:
        metadata["holdout"] = decision.holdout
    return {
        "key": flag.key,
        "value": decision.value,
        "reason": decision.reason,
        "variant": decision.variant,
        "metadata": metadata,
    }


def _flags() -> Mapping[str, Flag]:
    try:
        return services().assigning.flags.of(project_id())
    except SQLAlchemyError:
        raise _busy("The control plane cannot be reached, and was not before.") from None


def _decide(flags: Iterable[Flag], visitor: Visitor) -> list[Decision | None]:
    look_up, randomises, moment = services().assigning.stickiness.look_up, project().randomise_without_consent, now()
    try:
        return [decide(flag, visitor, look_up, randomise_without_consent=randomises, now=moment) for flag in flags]
    except SQLAlchemyError:
        raise _busy("What this unit saw first cannot be looked up now.") from None


def _record(flag: Flag, decision: Decision, visitor: Visitor) -> None:
    named = f"{flag.id}\0{decision.unit}\0{decision.variant}".encode()
    identifier = f"evaluated-{hashlib.blake2b(named, digest_size=16).hexdigest()}"
    stickiness = services().assigning.stickiness
    if stickiness.is_recorded(identifier):
        return
    exposure = exposure_of(flag, decision, visitor, identifier, now())
    try:
        services().ingest.take(project_id(), Decoded(exposures=[(0, exposure)]), origin())
    except BusyError as error:
        # Better nobody sees a variant that is not counted: the application falls back to its default.
        raise _busy(error.detail, error.retry_after_seconds) from None
    stickiness.recorded(identifier)


def _visitor() -> Visitor:
    try:
        body = read_json()
    except TooLargeError as error:
        raise _RefusedError(413, "GENERAL", error.detail) from None
    except UnreadableInputError as error:
        raise _RefusedError(400, "PARSE_ERROR", error.detail) from None
    context = body.get("context", {}) if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise _RefusedError(400, "INVALID_CONTEXT", 'The body is {"context": {"targetingKey": …}}.')
    try:
        return read_visitor(context)
    except InvalidInputError as error:
        raise _RefusedError(400, "INVALID_CONTEXT", error.detail) from None


def _wants_record() -> bool:
    given = request.args.get(RECORD, "false").lower()
    if given not in {"true", "false"}:
        raise _RefusedError(400, "GENERAL", f"`{RECORD}` must be true or false.")
    return given == "true"


def _missing(flag: Flag) -> str:
    named = {"user": "user_id or anonymous_id", "anonymous": "anonymous_id", "session": "session_id"}[flag.unit]
    return f"This experiment counts units of the kind {flag.unit}: the context needs targetingKey, or {named}."


def _busy(detail: str, seconds: int = 1) -> _RefusedError:
    return _RefusedError(503, "GENERAL", detail, {"Retry-After": str(seconds)})


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers=dict(headers or {}), mimetype="application/json")
