"""Output ceilings: what goes to an upstream never asks for more, however it is written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import RelayError
from relay.core.outputs import BOUNDS, estimate_of, with_ceiling
from relay.core.routes import CHAT, ROUTES, SEED_CHAT

EMBEDDINGS = next(route for route in ROUTES if route.path == "/v1/embeddings")
GENERATING = [route for route in ROUTES if route.output_bounds]


def refusal(body: bytes, ceiling: int = 10) -> tuple[str, str | None]:
    with pytest.raises(RelayError) as caught:
        with_ceiling(body, CHAT, ceiling)
    return caught.value.code, caught.value.param


def bounded(body: bytes, route: Any = CHAT, ceiling: int = 10) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(with_ceiling(body, route, ceiling))
    return members


numbers = st.one_of(st.none(), st.integers(-5, 30))


@given(st.dictionaries(st.sampled_from([*BOUNDS, "n", "best_of", "model"]), numbers), st.integers(1, 20))
def test_nothing_that_passes_asks_for_more(members: dict[str, int | None], ceiling: int) -> None:
    for route in GENERATING:
        try:
            out = bounded(json.dumps(members).encode(), route, ceiling)
        except RelayError:
            continue
        copies = max(out.get("n") or 1, out.get("best_of") or 1)
        stated = [out[name] for name in BOUNDS if out.get(name) is not None]
        assert all(1 <= count * copies <= ceiling for count in stated)
        assert any(out.get(name) for name in route.output_bounds)
        assert {name: value for name, value in out.items() if name not in BOUNDS} == {
            name: value for name, value in members.items() if name not in BOUNDS
        }


@pytest.mark.parametrize("value", [b"0", b"-1", b"1.5", b'"5"', b"true", b"[]", b"1e30", b"99999999999999999999"])
def test_what_is_no_count_is_refused(value: bytes) -> None:
    assert refusal(b'{"max_tokens":%s}' % value) == ("invalid_request", "max_tokens")


@pytest.mark.parametrize("name", BOUNDS)
def test_the_first_too_many_is_refused_and_named(name: str) -> None:
    assert refusal(b'{"%s":11}' % name.encode()) == ("request_too_large_for_limit", name)
    assert bounded(b'{"%s":10}' % name.encode())[name] == 10


def test_several_answers_share_the_ceiling() -> None:
    assert bounded(b'{"n":3}') == {"n": 3, "max_tokens": 3}
    assert refusal(b'{"n":3,"max_tokens":4}') == ("request_too_large_for_limit", "max_tokens")
    assert refusal(b'{"n":11}') == ("request_too_large_for_limit", "n")


def test_a_member_named_twice_goes_on_once() -> None:
    body = with_ceiling(b'{"max_tokens":999,"max_tokens":5,"messages":[{"a": 1.0}]}', CHAT, 10)
    assert body == b'{"max_tokens":5,"messages":[{"a": 1.0}]}'


@pytest.mark.parametrize("name", ["Max_Tokens", "N", "max_completion_tokenS", "MAX_OUTPUT_TOKENS"])
def test_other_spellings_are_refused(name: str) -> None:
    assert refusal(b'{"%s":5}' % name.encode())[0] == "invalid_request"


def test_an_escaped_name_is_the_same_name() -> None:
    assert refusal(b'{"max_\\u0074okens":11}') == ("request_too_large_for_limit", "max_tokens")


def test_null_is_absent() -> None:
    assert bounded(b'{"max_tokens":null}') == {"max_tokens": 10}
    assert bounded(b'{"max_tokens":null,"max_completion_tokens":4}') == {"max_tokens": None, "max_completion_tokens": 4}


def test_the_seed_route_has_a_default_of_its_own() -> None:
    assert bounded(b"{}", SEED_CHAT, 5000) == {"max_tokens": 2000}
    assert bounded(b"{}", SEED_CHAT, 50) == {"max_tokens": 50}


def test_routes_that_generate_no_text_are_left_alone() -> None:
    assert with_ceiling(b"no json", EMBEDDINGS, 10) == b"no json"
    assert estimate_of(b"12345", EMBEDDINGS).input_tokens == 2


@pytest.mark.parametrize(
    ("body", "output_tokens"), [(b"{}", 1024), (b'{"max_tokens":7}', 7), (b'{"max_tokens":7,"n":3}', 21)]
)
def test_an_estimate_is_the_most_that_was_asked_for(body: bytes, output_tokens: int) -> None:
    assert estimate_of(body, CHAT).output_tokens == output_tokens


@pytest.mark.parametrize("body", [b"[]", b"", b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert refusal(body)[0] == "invalid_request"
