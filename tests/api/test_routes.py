"""Rules write URLs as Werkzeug's own do, though they compile what writes them later."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Map, MapAdapter, Rule

from optimizer.api._routes import ReadRule


def written_by(kind: type[Rule]) -> MapAdapter:
    rules = [kind("/v1/experiments", endpoint="all"), kind("/v1/experiments/<key>/log", endpoint="log")]
    return Map(rules).bind("here")


@given(st.text(min_size=1), st.dictionaries(st.sampled_from(["limit", "cursor"]), st.text()))
def test_urls_are_werkzeugs(key: str, query: dict[str, str]) -> None:
    ours, theirs = written_by(ReadRule), written_by(Rule)
    assert ours.build("log", {"key": key, **query}) == theirs.build("log", {"key": key, **query})
    assert ours.build("all", query) == theirs.build("all", query)
    assert ours.match("/v1/experiments/a/log") == theirs.match("/v1/experiments/a/log")
