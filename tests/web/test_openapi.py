"""The description of the routes is valid, and describes those that there are."""

import json
import re

import flask
import pytest
from openapi_spec_validator import validate

from relay.core.errors import KINDS
from relay.web.files import DIRECTORY
from tests.house import House

DESCRIBED = json.loads((DIRECTORY / "openapi.json").read_text())
METHODS = ("get", "post", "put", "delete", "patch")


def operations() -> dict[tuple[str, str], dict[str, object]]:
    """Each by its method and path."""
    paths = DESCRIBED["paths"].items()
    return {(method.upper(), path): item[method] for path, item in paths for method in METHODS if method in item}


def routes(app: flask.Flask) -> set[tuple[str, str]]:
    """Of the application; what Flask adds to each of them is left out."""
    rules = [
        (rule.methods or set(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)) for rule in app.url_map.iter_rules()
    ]
    return {(method, path) for methods, path in rules for method in methods - {"HEAD", "OPTIONS"}}


def test_it_is_valid() -> None:
    validate(DESCRIBED)


def test_every_route_is_described(house: House) -> None:
    assert sorted(routes(house.app) - set(operations())) == []


def test_everything_that_is_described_is_a_route(house: House) -> None:
    assert sorted(set(operations()) - routes(house.app)) == []


@pytest.mark.parametrize("operation", operations(), ids=" ".join)
def test_what_takes_no_credential_says_so_and_all_else_tells_its_refusals(operation: tuple[str, str]) -> None:
    told = operations()[operation]
    assert "security" in told
    assert not told["security"] or "default" in told["responses"]  # type: ignore[operator]


def test_a_refusal_is_described_as_it_is_made(house: House) -> None:
    error = house.app.test_client().get("/v1/models").get_json()["error"]
    described = DESCRIBED["components"]["schemas"]["Error"]["properties"]["error"]
    assert sorted(error) == sorted(described["required"]) == sorted(described["properties"])
    assert error["code"] in KINDS
