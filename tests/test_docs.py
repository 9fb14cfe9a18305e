"""The docs name what the code can do: each refusal with its status, each route, section, verb and field of the log."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import flask
import pytest

from config.sources import SECTIONS
from relay.cli import VERBS
from relay.core.errors import IN_STREAM, KINDS
from relay.core.routes import ROUTES, Route
from relay.web import status
from tests.test_accounting import FIELDS

ROOT = Path(__file__).parents[1]
# The tables of all codes, and the demo upstream, whose faults are not the relay's.
NOT_RAISING = ("relay/core/errors.py", "relay/core/german.py", "relay/demo/")


@cache
def doc(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def blocks(text: str) -> Iterator[str]:
    """What belongs together: each row of a table, each paragraph."""
    for paragraph in text.split("\n\n"):
        if paragraph.lstrip().startswith("|"):
            yield from paragraph.splitlines()
        else:
            yield paragraph


def named_together(text: str, *words: str) -> bool:
    return any(all(word in block for word in words) for block in blocks(text))


def words_of(sources: Iterable[str]) -> set[str]:
    """All that stands in quotes in these programs."""
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@cache
def used() -> set[str]:
    """The codes that the relay can tell today."""
    paths = (str(path.relative_to(ROOT)) for path in (ROOT / "relay").rglob("*.py"))
    return words_of((ROOT / path).read_text() for path in paths if not path.startswith(NOT_RAISING))


@pytest.mark.parametrize("code", KINDS)
def test_a_refusal_that_can_happen_is_documented_with_its_status(code: str) -> None:
    if code in used():
        together = f"`{code}`", str(KINDS[code].status)
        found = any(named_together(doc(name), *together) for name in ("http-api.md", "operations.md"))
        assert found, f"nowhere in docs/: {together}"


@pytest.mark.parametrize("code", IN_STREAM)
def test_what_can_be_told_in_a_stream_is_documented(code: str) -> None:
    if code in used():
        found = named_together(doc("http-api.md"), f"`{code}`")
        assert found, f"not in docs/http-api.md: {code}"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_a_relayed_route_is_documented_with_its_method(route: Route) -> None:
    found = named_together(doc("http-api.md"), f"`{route.path}`", route.method)
    assert found


def test_the_routes_for_monitors_are_documented() -> None:
    app = flask.Flask("docs", static_folder=None)
    app.register_blueprint(status.blueprint())
    missing = [
        rule.rule for rule in app.url_map.iter_rules() if not named_together(doc("http-api.md"), f"`{rule.rule}`")
    ]
    assert missing == []


@pytest.mark.parametrize("section", [*(f"[{name}]" for name in SECTIONS), "[[upstreams]]"])
def test_a_section_of_the_configuration_is_documented(section: str) -> None:
    found = any(f"`{section}" in path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    assert found


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_documented(verb: str) -> None:
    found = named_together(doc("operations.md"), f"`{verb}`")
    assert found


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_field_of_the_log_is_shown(field: str) -> None:
    found = f'"{field}":' in doc("operations.md")
    assert found


def test_words_in_one_row_are_named_together_and_those_in_two_are_not() -> None:
    table = "| status | code |\n|---|---|\n| 401 | `a` |\n| 502 | `b` |\n\nIn a text `c`\nand its 504.\n"
    assert named_together(table, "`a`", "401")
    assert not named_together(table, "`a`", "502")
    assert named_together(table, "`c`", "504")
    assert not named_together(table, "`d`")


def test_what_is_used_is_found_in_calls_and_elsewhere() -> None:
    assert {"a", "b", "c"} <= words_of(['raise E("a")', 'x = {1: ("b",)}\ndef f(): return "c"'])
    assert {"invalid_api_key", "upstream_auth_failed", "key_revoked", "upstream_incomplete"} <= used()
