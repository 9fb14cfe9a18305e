"""Sending a request: what goes out, and what comes back."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from relay.core.errors import RelayError
from relay.core.targets import Target
from relay.upstream.upstreams import Upstreams
from tests.live.bench.scripts import (
    CHUNKED,
    answering,
    chat_completion,
    chat_stream,
    error_answer,
    json_answer,
    sse_head,
    streaming,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.upstream.conftest import KEY, Ask, assert_closed, read_body, target_of

UpstreamsOf = Callable[..., Upstreams]


def test_the_answers_head_is_in_hand_and_its_body_is_not_read(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf
) -> None:
    target = target_of(upstream)
    with upstreams_of(target).open([target], Ask()) as answer:
        assert (answer.target, answer.status, answer.content_type) == (target, 200, "application/json")
        assert answer.keeps_alive
        assert b"Hello world" in read_body(answer)
    assert_closed(upstream)


def test_the_request_goes_out_as_it_is_with_the_upstreams_own_key(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf
) -> None:
    body = b'{"model": "gpt-test",\n "x": 1.0}'
    target = target_of(upstream)
    with upstreams_of(target).open([target], Ask(body=body)):
        pass
    (sent,) = upstream.requests
    assert (sent.method, sent.path, sent.body) == ("POST", "/v1/chat/completions", body)
    assert {name.lower(): value for name, value in sent.headers} == {
        "host": f"127.0.0.1:{upstream.port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "authorization": f"Bearer {KEY}",
        "accept-encoding": "identity",
    }


def test_a_key_may_be_sent_as_x_api_key(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf) -> None:
    target = target_of(upstream, auth="x-api-key")
    with upstreams_of(target).open([target], Ask(headers={"Authorization": "Bearer callers"})):
        pass
    assert upstream.requests[0].header("x-api-key") == KEY


def test_the_callers_headers_never_replace_ours(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf) -> None:
    target = target_of(upstream)
    headers = {"Authorization": "Bearer callers", "Accept-Encoding": "gzip"}
    with upstreams_of(target).open([target], Ask(headers=headers)):
        pass
    (sent,) = upstream.requests
    assert (sent.header("authorization"), sent.header("accept-encoding")) == (f"Bearer {KEY}", "identity")


@pytest.mark.usefixtures("nothing_trusted_by_name")
def test_neither_proxies_nor_netrc_nor_cookies_have_a_say(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf
) -> None:
    upstream.answer(answering(json_answer({}, "Set-Cookie: canary=1; Path=/")))
    target = Target("default", upstream.base_url, "")
    upstreams = upstreams_of(target)
    for _ in range(2):
        with upstreams.open([target], Ask()):
            pass
    assert b"canary" not in upstream.received
    assert all(request.header("authorization") is None for request in upstream.requests)


def test_what_urllib3_would_say_of_a_request_is_not_said(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    target = target_of(upstream)
    with upstreams_of(target).open([target], Ask()):
        pass
    assert caplog.text == ""


def test_presence_surrounds_the_waiting_and_not_what_follows(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf
) -> None:
    notes: list[str] = []

    @contextmanager
    def presence() -> Iterator[None]:
        notes.append("waiting")
        yield
        notes.append(f"answered after {len(upstream.requests)} request")

    target = target_of(upstream)
    with upstreams_of(target).open([target], Ask(presence=presence())):
        assert notes == ["waiting", "answered after 1 request"]


@pytest.mark.parametrize("status", ["400 Bad", "404 Not Found", "429 Slow Down", "500 Oops", "529 Overloaded"])
def test_other_statuses_are_answers(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, status: str) -> None:
    upstream.answer(answering(error_answer(status, "theirs")))
    target = target_of(upstream)
    with upstreams_of(target).open([target], Ask()) as answer:
        assert answer.status == int(status[:3])


def test_closing_an_answer_twice_or_one_that_was_given_back_does_nothing(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf
) -> None:
    upstream.answer(answering(sse_head(CHUNKED)))
    target = target_of(upstream)
    upstreams = upstreams_of(target)
    with upstreams.open([target], Ask()) as answer:
        answer.close()
        answer.close()
    with upstreams.open([target], Ask()) as kept:
        kept.leave_open()
    assert kept.sock is not None
    kept.connection.close()


def test_an_answer_that_came_for_a_caller_who_had_left_is_closed(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf
) -> None:
    class Left(BaseException):
        pass

    @contextmanager
    def leaving() -> Iterator[None]:
        yield
        raise Left

    upstream.answer(streaming(chat_stream("x")))
    target = target_of(upstream)
    with pytest.raises(Left) as kept, upstreams_of(target).open([target], Ask(presence=leaving())):
        pytest.fail("it was opened")
    assert_closed(upstream)
    assert kept


def test_the_probe_asks_for_its_path_and_bills_nothing(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf) -> None:
    target = target_of(upstream)
    upstreams_of(target).probe(target, "/models")
    (sent,) = upstream.requests
    assert (sent.method, sent.path, sent.body) == ("GET", "/v1/models", b"")
    assert sent.header("authorization") == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error_answer("500 Oops", "x"), "upstream_bad_response"),
        (error_answer("401 No", "x"), "upstream_auth_failed"),
        (json_answer({}, "Location: /", status="302 Found"), "upstream_redirect"),
    ],
)
def test_the_probe_tells_what_is_wrong(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, answer: bytes, code: str
) -> None:
    upstream.answer(answering(answer))
    target = target_of(upstream)
    with pytest.raises(RelayError) as caught:
        upstreams_of(target).probe(target, "/models")
    assert caught.value.code == code


def test_a_model_list_that_is_not_offered_is_no_illness(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf) -> None:
    upstream.answer(answering(json_answer(chat_completion("x"), status="404 Not Found")))
    target = target_of(upstream)
    upstreams_of(target).probe(target, "/models")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_that_can_have_no_body_is_over_with_its_head(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, status: str
) -> None:
    upstream.answer(answering(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()))
    target = target_of(upstream)
    with upstreams_of(target).open([target], Ask()) as answer:
        assert (answer.decoder.ended, answer.decoder.length_bytes) == (True, 0)


def test_a_place_that_cannot_be_aimed_at_changes_nothing(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf) -> None:
    target = target_of(upstream)
    upstreams = upstreams_of(target)
    broken = Target("broken", "https://h/v1", KEY, ca_file="/dev/null")
    with pytest.raises(OSError):  # noqa: PT011  # OpenSSL's
        upstreams.aim([broken], 0.001, 0.001)
    with upstreams.open([target], Ask()) as answer:
        assert answer.status == 200
