"""Rules of routes that are read for each request and hardly ever written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from werkzeug.routing import Rule


class ReadRule(Rule):
    """A rule that compiles what writes its URL when that is first asked for.

    Werkzeug compiles two functions for every rule, which is most of what making the application takes.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(super()._compile_builder)

        def build(rule: Rule, **values: object) -> tuple[str, str]:
            return compiled(append_unknown)(rule, **values)

        return build
