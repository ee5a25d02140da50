"""Every exception this package raises on purpose, named by what the caller does next.

    OptimizerError
    ├── InvalidInputError        the caller corrects the named field and sends again      422
    │   └── UnreadableInputError the caller mends the encoding: nothing could be parsed   400
    ├── UnauthenticatedError     the caller brings a valid key                            401
    ├── ForbiddenError           the caller brings a key with the named scope             403
    ├── NotFoundError            the caller checks the name                               404
    ├── ConflictError            the caller reads the present state and decides           409
    ├── GoneError                the caller starts over from the beginning                410
    ├── TooLargeError            the caller sends less at a time                          413
    ├── BusyError                the caller waits `retry_after_seconds` and sends again   503
    │   └── UnknownOutcomeError  the same, and we look up first what is stored            503
    └── ConfigurationError       the operator corrects a setting and starts again         exit 2

The HTTP statuses are the API layer's reading of these names; nothing below it knows of HTTP.
Statistical functions raise the built-in `ValueError`, naming the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in the caller's input.

    Attributes:
        pointer: RFC 6901 JSON pointer of the faulty field, for example ``/variants/0/visitors``.
        code: Stable machine-readable name of the fault, for example ``negative_count``.
        detail: One sentence for a person. It never repeats the value that was sent.
    """

    pointer: str
    code: str
    detail: str


class OptimizerError(Exception):
    """Base of everything raised on purpose; `detail` is one sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInputError(OptimizerError):
    """The input was read but is wrong; `problems` names each faulty field."""

    def __init__(self, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.problems = tuple(problems)

    @classmethod
    def at(cls, pointer: str, code: str, detail: str) -> InvalidInputError:
        """Build the error for a single faulty field."""
        return cls(detail, [Problem(pointer, code, detail)])


class UnreadableInputError(InvalidInputError):
    """The input could not be read at all: broken JSON, bad gzip, nesting too deep, a foreign cursor."""


class UnauthenticatedError(OptimizerError):
    """No valid key came with the request."""


class ForbiddenError(OptimizerError):
    """The key is valid but lacks the scope this takes."""


class NotFoundError(OptimizerError):
    """The thing does not exist, or belongs to another project."""


class ConflictError(OptimizerError):
    """The present state forbids the change."""


class GoneError(OptimizerError):
    """What the caller refers to has expired: start over."""


class TooLargeError(OptimizerError):
    """The input is over a limit, which `detail` names."""


class BusyError(OptimizerError):
    """Temporarily unable; nothing was stored. Try again after `retry_after_seconds`."""

    def __init__(self, detail: str, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnknownOutcomeError(BusyError):
    """A commit failed so that it may have happened all the same: whoever repeats it looks up first what is stored."""


class ConfigurationError(OptimizerError):
    """A setting or the environment is wrong; the service does not start."""
