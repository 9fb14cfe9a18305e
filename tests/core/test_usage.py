"""What an answer cost: the upstream's own numbers, or nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.usage import TOKENS_MAX, USAGE_HINTS, Usage, cost_usd, is_usage_only, usage_in

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.dictionaries(st.sampled_from(["usage", "message", "choices"]), inner) | st.lists(inner, max_size=2)
    ),
)
count = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}', Usage(3, 4)),
        (b'{"usage":{"prompt_tokens":3,"total_tokens":3}}', Usage(3, 0)),
        (b'{"usage":{"input_tokens":5,"output_tokens":6,"cache_read_input_tokens":1}}', Usage(5, 6)),
        (b'{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}', Usage(5, 1)),
        (b'{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":6}}}', Usage(5, 6)),
        (b'{"usage":{"prompt_tokens":0}}', Usage(0, 0)),
        (b'{"response":null,"usage":{"prompt_tokens":0,"completion_tokens":4}}', Usage(0, 4)),
        (b'{"response":{"usage":null},"message":{},"usage":null}', None),
        (b'{"choices":[{"message":{"usage":{"prompt_tokens":3}}}]}', None),
        (b"{}", None),
    ],
)
def test_the_usage_is_read_where_each_api_tells_it(text: bytes, usage: Usage | None) -> None:
    assert usage_in(text) == usage


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"null", b'"usage"', b"[DONE]", b'{"usage":1}', b'{"usage":{"prompt_tokens":"3"}}', b'{"usage":{',
        b'{"usage":"\xff"}', b'{"usage":{}}', b'{"usage":{"type":"duration","seconds":7}}',
        b'{"usage":{"prompt_tokens":-1}}', b'{"usage":{"prompt_tokens":9007199254740993}}',
        b'{"usage":{"prompt_tokens":99999999999999999999}}',
    ],
)  # fmt: skip
def test_what_is_no_usage_is_unknown_and_not_zero(text: bytes) -> None:
    assert usage_in(text) is None


def test_a_message_beside_the_usage_does_not_hide_it() -> None:
    for name in (b"message", b"response"):
        assert usage_in(b'{"%s":"text","usage":{"prompt_tokens":3,"completion_tokens":4}}' % name) == Usage(3, 4)


@given(JSON)
def test_no_json_fails_the_reading(value: object) -> None:
    text = json.dumps(value).encode()
    assert isinstance(usage_in(text), Usage | None)
    assert is_usage_only(text) in (True, False)


@pytest.mark.parametrize("name", [b"usage", b"x", b"choices"])
def test_deep_nesting_is_no_usage(name: bytes) -> None:
    text = b'{"%s":' % name + b"[" * 9_999 + b"]" * 9_999 + b"}"
    assert usage_in(text) is None
    assert not is_usage_only(text)


@given(count, count, st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_an_upstream_writes_is_found_by_a_hint(prompt: int, completion: int, style: tuple[str, str]) -> None:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    text = json.dumps({"usage": counts}, separators=style).encode()
    assert any(hint in text for hint in USAGE_HINTS)
    assert usage_in(text) == Usage(prompt, completion)


@pytest.mark.parametrize(
    ("data", "alone"),
    [
        (b'{"id":"a","choices":[],"usage":{"prompt_tokens":1}}', True),
        (b'{"choices":[],"usage":{}}', True),
        (b'{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}', False),
        (b'{"choices":[],"usage":null,"prompt_filter_results":[]}', False),
        (b'{"choices":[]}', False),
        (b'{"usage":{"prompt_tokens":1}}', False),
        (b'{"choices":null,"usage":{"prompt_tokens":1}}', False),
        (b'{"choices":[],"usage":{"prompt_tokens":1},"error":{"message":"no"}}', False),
        (b'{"choices":[],"usage":{"prompt_tokens":1},"error":null}', True),
        (b"[DONE]", False),
        (b"", False),
    ],
)
def test_a_chunk_is_for_the_relay_alone_only_if_it_holds_nothing_else(data: bytes, alone: bool) -> None:
    assert is_usage_only(data) is alone


def test_later_figures_replace_earlier_ones_and_nothing_replaces_nothing() -> None:
    assert Usage(7, 1).merged(Usage(0, 20)) == Usage(7, 20)
    assert Usage(7, 1).merged(Usage(8, 0)) == Usage(8, 1)
    assert Usage().merged(Usage(1, 2)) == Usage(1, 2)


def test_a_cost_is_counted_in_dollars_per_million_tokens() -> None:
    assert cost_usd(Usage(1_000_000, 500_000), 2.0, 8.0) == pytest.approx(6.0)
    assert cost_usd(Usage(1, 0), 2.0, 8.0) == pytest.approx(2e-6)
    assert cost_usd(Usage(), 2.0, 8.0) == 0


@pytest.mark.parametrize("count", [-1, TOKENS_MAX + 1, 10**30, 10**400])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_tokens_that_no_upstream_can_have_counted_are_unknown(name: str, count: int) -> None:
    """Nor does the other count stand: whoever says that cannot be trusted with either."""
    other = ({"prompt_tokens", "completion_tokens"} - {name}).pop()
    assert usage_in(b'{"usage":{"%s":%d,"%s":5}}' % (name.encode(), count, other.encode())) is None


def test_as_many_as_can_be_are_believed() -> None:
    told = usage_in(b'{"usage":{"prompt_tokens":%d,"completion_tokens":0}}' % TOKENS_MAX)
    assert told == Usage(TOKENS_MAX, 0)
