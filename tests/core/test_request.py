"""What a caller asks for: one meaning for the relay and for every upstream, and nothing goes on that must stay here."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import RelayError
from relay.core.request import (
    FORWARDED,
    MODEL_CHARACTERS_MAX,
    NEVER_FORWARDED,
    Ask,
    forwarded_headers,
    read_ask,
    seed_body,
    with_usage_asked,
)

SEED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
DEEP = b"[" * 9_999 + b"]" * 9_999
UNREADABLE = [b'"\xff"', b'"\xed\xa0\x80"', b"1e999", b"9" * 5_000, DEEP, b"{", b""]
CANARY = "sk-canary-0123456789"


def refusal(body: bytes) -> RelayError:
    with pytest.raises(RelayError) as caught:
        read_ask(body)
    assert (caught.value.code, caught.value.kind.status) == ("invalid_request", 400)
    return caught.value


def seeded(**fields: object) -> dict[str, object]:
    sent: dict[str, object] = json.loads(seed_body(json.dumps({**SEED, **fields}).encode()))
    return sent


def forwarded(sent: dict[str, str], *names: str) -> dict[str, str]:
    values = {name.lower(): value for name, value in sent.items()}
    return forwarded_headers(lambda name: values.get(name.lower()), names)  # as WSGI's headers: in any case


@pytest.mark.parametrize(
    ("body", "ask"),
    [
        (b'{"model":"m","stream":true,"n":1}', Ask("m", True)),
        (b'{"stream":null,"model":"\\u006d"}', Ask("m", None)),
        (b' {"input":"x","stream":false}\n', Ask("", False)),
        (b'{"model":"m","x":{"model":1,"stream":2},"y":["model"]}', Ask("m", None)),
        ('{"model":"模型","x":"\\u00e4"}'.encode(), Ask("模型", None)),
    ],
)
def test_the_relay_reads_what_it_needs_and_leaves_the_rest(body: bytes, ask: Ask) -> None:
    assert read_ask(body) == ask


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"m"', b"{}{}", b'{"model":"m"}x', b"\xef\xbb\xbf{}", b"{'model':1}",
        b'{"model":1}', b'{"model":null}', b'{"model":["m"]}', b'{"stream":1,"model":"m"}', b'{"stream":"true"}',
        b'{"model":"\xff"}', b'{"model":"\\ud800"}', b'{"model":NaN}', b'{"x":' + DEEP + b"}", DEEP,
        b'{"stream_options":1}', b'{"stream_options":[]}', '{"model":"m"}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_anything_but_an_object_with_these_members_is_refused(body: bytes) -> None:
    refusal(body)


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    for value in ({"model": [CANARY]}, {"model": {CANARY: 1}}, {"stream": CANARY}, {"model": CANARY * 20}):
        assert "canary" not in refusal(json.dumps(value).encode()).message


def test_a_model_has_a_longest_name() -> None:
    assert read_ask(b'{"model":"%s"}' % (b"m" * MODEL_CHARACTERS_MAX)).model == "m" * 128
    assert refusal(b'{"model":"%s"}' % (b"m" * 129)).param == "model"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"cheap","model":"dear"}',
        b'{"model":"dear","x":1,"model":"cheap"}',
        b'{"model":"cheap","mod\\u0065l":"dear"}',
        b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":"dear","model":"cheap"}',
        b'{"model" : "cheap", "model" : "cheap"}',
        b'{"model":"m","str\\u0065am":true,"stream":false}',
        b'{"model":"m","stream":true,"stream":false}',
    ],
)
def test_a_member_that_is_named_twice_is_refused(body: bytes) -> None:
    refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"cheap","Model":"dear"}',
        b'{"MODEL":"dear"}',
        b'{"model":"m","mod\\u0045l":"x"}',
        b'{"Stream":true}',
        '{"ſtream":true}'.encode(),
        b'{"model":"m","stream":true,"Stream_options":{"include_usage":false}}',
    ],
)
def test_a_member_that_some_upstreams_take_for_the_model_is_refused(body: bytes) -> None:
    refusal(body)  # servers in Go match names without regard to case, and the last one counts


@given(st.dictionaries(st.sampled_from(["model", "x", "ä"]), st.text(max_size=5), max_size=3), st.booleans())
def test_every_json_writer_is_understood_alike(fields: dict[str, str], ascii_only: bool) -> None:
    body = json.dumps(fields, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert read_ask(body).model == fields.get("model", "")


def test_the_word_model_within_a_text_is_no_second_name() -> None:
    body = json.dumps({"model": "m", "messages": [{"content": '{"model":"x","model":"y"}', "model": "z"}]}).encode()
    assert read_ask(body).model == "m"
    assert read_ask(b'{"model":"m","tools":[{"Model":"\\u0061","model":"","Stream":1}]}').model == "m"


def test_the_seed_route_fills_in_only_what_is_absent() -> None:
    assert seeded() == {**SEED, "temperature": 0.7, "max_tokens": 2000, "stream": True}
    zeros = {"temperature": 0, "max_tokens": 0}
    assert seeded(**zeros, stream=False) == {**SEED, **zeros, "stream": True}
    assert seeded(temperature=None)["temperature"] is None


@pytest.mark.parametrize("fields", [{"n": 2}, {"tools": []}, {"Model": "x"}, {"max_completion_tokens": 1}])
def test_the_seed_route_takes_no_other_member(fields: dict[str, object]) -> None:
    with pytest.raises(RelayError, match="takes model, messages"):
        seeded(**fields)


@pytest.mark.parametrize("absent", ["model", "messages"])
def test_the_seed_route_needs_model_and_messages(absent: str) -> None:
    with pytest.raises(RelayError, match="takes model, messages"):
        seed_body(json.dumps({name: value for name, value in SEED.items() if name != absent}).encode())


@pytest.mark.parametrize("messages", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_the_seed_route_cannot_read_is_a_bad_request(messages: bytes) -> None:
    with pytest.raises(RelayError) as caught:
        seed_body(b'{"model":"m","messages":%s}' % messages)
    assert caught.value.code == "invalid_request"


@given(st.dictionaries(st.sampled_from(["model", "messages", "stream_options", "ä"]), st.just({"a": 1}), max_size=4))
def test_asking_for_the_usage_changes_nothing_else(fields: dict[str, object]) -> None:
    fields = {**fields, "model": "m"}
    for indent in (None, 2):
        body = json.dumps(fields, indent=indent).encode()
        asked = json.loads(with_usage_asked(body, read_ask(body)))
        options = {**dict(fields.get("stream_options") or {}), "include_usage": True}  # type: ignore[call-overload]
        assert asked == {**fields, "stream_options": options}


def test_without_options_the_body_keeps_its_bytes() -> None:
    body = b' {"model":"m" , "x":[1.0, 1e400, "\xff"]}\n'
    asked = with_usage_asked(body, read_ask(body))
    assert asked == b' {"stream_options":{"include_usage":true},' + body[2:]
    assert json.loads(with_usage_asked(b" { } ", Ask())) == {"stream_options": {"include_usage": True}}


def test_options_under_an_escaped_name_are_the_options() -> None:
    body = b'{"model":"m","stream\\u005foptions":{"a":1}}'
    asked = with_usage_asked(body, read_ask(body))
    assert json.loads(asked, object_pairs_hook=list) == [
        ("model", "m"),
        ("stream_options", [("a", 1), ("include_usage", True)]),
    ]


def test_members_that_the_relay_does_not_read_are_the_upstreams_matter() -> None:
    assert read_ask(b'{"model":"m","x":1,"x":2,"y":"\\u00e4"}').model == "m"


@pytest.mark.parametrize("options", [b"null", b'{"include_usage":false}', b"{}"])
def test_what_is_sent_names_its_options_once(options: bytes) -> None:
    body = b'{"model":"m","stream_options":%s}' % options
    asked = with_usage_asked(body, read_ask(body))
    assert asked.count(b'"stream_options"') == 1
    assert json.loads(asked)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("messages", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_written_again_is_a_bad_request_or_goes_on_as_it_is(messages: bytes) -> None:
    body = b'{"model":"m","stream_options":{},"messages":%s}' % messages
    try:
        ask = read_ask(body)
        assert b"include_usage" in with_usage_asked(body, ask)
    except RelayError as error:
        assert error.code == "invalid_request"


@pytest.mark.parametrize(
    ("options", "asks"),
    [(b"null", False), (b"{}", False), (b'{"include_usage":false}', False), (b'{"include_usage":true}', True)],
)
def test_a_caller_that_asks_for_the_usage_is_known(options: bytes, asks: bool) -> None:
    assert read_ask(b'{"stream_options":%s}' % options).asks_usage is asks
    assert not read_ask(b"{}").asks_usage


def test_what_is_listed_goes_on_and_what_an_upstream_names() -> None:
    sent = dict.fromkeys((*FORWARDED, "openai-beta", "user-agent", "x-forwarded-for", "origin", "referer"), "1")
    assert forwarded(sent) == dict.fromkeys(("content-type", "accept", "traceparent", "tracestate"), "1")
    assert forwarded(sent, "openai-beta", "anthropic-version") == dict.fromkeys((*FORWARDED, "openai-beta"), "1")


@pytest.mark.parametrize("name", sorted(NEVER_FORWARDED))
def test_credentials_and_hop_by_hop_headers_never_go_on_even_if_named(name: str) -> None:
    for spelling in (name, name.title(), name.upper()):
        assert forwarded({name: CANARY}, spelling) == {}


def test_the_headers_that_never_go_on_are_those_of_the_standard() -> None:
    hop_by_hop = "connection keep-alive proxy-connection te trailer transfer-encoding upgrade"  # RFC 9110 7.6.1
    ours = "authorization x-api-key cookie host content-length expect accept-encoding"
    proxies = "proxy-authenticate proxy-authorization"
    assert {*hop_by_hop.split(), *ours.split(), *proxies.split()} <= NEVER_FORWARDED
    assert not NEVER_FORWARDED & set(FORWARDED)


@pytest.mark.parametrize("value", ["openai-beta", "close, OpenAI-Beta", " x ,openai-beta ,", "a,openai-beta"])
def test_what_connection_nominates_stays_here(value: str) -> None:
    sent = {"connection": value, "openai-beta": "1", "accept": "*/*"}
    for spelling in ("openai-beta", "OpenAI-Beta"):
        assert forwarded(sent, spelling) == {"accept": "*/*"}
