"""When nothing good comes back: whose fault it was, and that what was sent is not sent twice."""

import gzip
import socket
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from urllib3.exceptions import NewConnectionError

from relay.core.retries import CONNECT_ATTEMPTS_MAX
from relay.core.targets import Target
from relay.upstream.upstreams import Upstreams
from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection
from tests.live.bench.ports import free_port
from tests.live.bench.scripts import answering, error_answer, json_answer
from tests.live.bench.upstream import ScriptedUpstream
from tests.upstream.conftest import KEY, Ask, assert_closed, refusal, target_of

UpstreamsOf = Callable[..., Upstreams]


BAD_HEADS = {
    "no answer": b"",
    "not HTTP": b"ICY 200 OK\r\n\r\n",
    "half a status line": b"HTTP/1.1 2",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "101 headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
    "a stream without a body": b"HTTP/1.1 204 No Content\r\nContent-Type: text/event-stream\r\n\r\n",
    "a compressed body": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
    + gzip.compress(b"", mtime=0),
}


@pytest.mark.parametrize("head", BAD_HEADS.values(), ids=BAD_HEADS)
def test_an_answer_that_cannot_be_read_is_a_bad_response_and_is_asked_for_once(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, head: bytes
) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.send(head)
        conn.finish()
        conn.wait_closed(2)

    upstream.answer(script)
    target = target_of(upstream)
    assert refusal(upstreams_of(target), target) == ("upstream_bad_response", 502, False)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent", "300 Choices"])
def test_a_redirect_is_not_followed(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, status: str) -> None:
    upstream.answer(answering(json_answer({}, f"Location: {upstream.base_url}/elsewhere", status=status)))
    target = target_of(upstream)
    assert refusal(upstreams_of(target), target) == ("upstream_redirect", 502, False)
    assert len(upstream.requests) == 1
    assert_closed(upstream)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_the_upstreams_refusal_of_our_key_is_not_the_callers_fault(
    upstream: ScriptedUpstream, upstreams_of: UpstreamsOf, status: str
) -> None:
    upstream.answer(answering(error_answer(status, f"bad_key_{KEY}")))
    target = target_of(upstream)
    assert refusal(upstreams_of(target), target) == ("upstream_auth_failed", 502, False)
    assert_closed(upstream)


def test_a_port_where_nobody_listens_is_unreachable(upstreams_of: UpstreamsOf) -> None:
    target = Target("default", f"http://127.0.0.1:{free_port()}/v1", KEY)
    assert refusal(upstreams_of(target), target) == ("upstream_unreachable", 502, None)


def test_a_name_that_cannot_be_resolved_is_unreachable_after_a_few_attempts(
    upstreams_of: UpstreamsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *rest: object) -> list[object]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    target = Target("default", "http://upstream.example/v1", KEY)
    assert refusal(upstreams_of(target), target) == ("upstream_unreachable", 502, None)
    assert asked == ["upstream.example"] * CONNECT_ATTEMPTS_MAX


@pytest.mark.parametrize("flaw", ["expired", "wrong_host", "self_signed"])
def test_a_certificate_that_cannot_be_trusted_is_told_and_nothing_is_sent(
    certificates: Certificates, start_upstream: Any, upstreams_of: UpstreamsOf, flaw: str
) -> None:
    upstream = start_upstream(getattr(certificates, flaw))
    target = target_of(upstream, ca_file=str(certificates.ca_file))
    assert refusal(upstreams_of(target), target) == ("upstream_tls", 502, False)
    assert upstream.received == b""


def test_an_upstream_that_does_not_speak_tls_is_told(upstream: ScriptedUpstream, upstreams_of: UpstreamsOf) -> None:
    upstream.answer(lambda conn: (conn.receive(), conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), conn.close())[0])
    target = Target("default", upstream.base_url.replace("http:", "https:"), KEY)
    assert refusal(upstreams_of(target), target) == ("upstream_tls", 502, False)
    assert KEY.encode() not in upstream.received


def test_a_private_authority_is_trusted_where_it_is_configured(
    certificates: Certificates, start_upstream: Any, upstreams_of: UpstreamsOf
) -> None:
    upstream = start_upstream(certificates.trusted)
    trusting, strange = target_of(upstream, ca_file=str(certificates.ca_file)), target_of(upstream)
    with upstreams_of(trusting).open([trusting], Ask()) as answer:
        assert answer.status == 200
    assert refusal(upstreams_of(strange), strange)[0] == "upstream_tls"


class Asking:
    """Stands for `ask`: each request meets the next of `fates`, an exception or seconds of waiting."""

    def __init__(self, *fates: BaseException | float) -> None:
        self.fates, self.sent = list(fates), 0

    def __call__(self, *request: object) -> Any:
        self.sent += 1
        fate = self.fates.pop(0)
        if isinstance(fate, BaseException):
            raise fate
        gevent.sleep(fate)
        raise ValueError("nothing came")


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Upstreams, Target, Asking]]:
    def meet(*fates: BaseException | float, head_seconds_max: float = 5.0) -> tuple[Upstreams, Target, Asking]:
        target, asking = Target("default", "http://upstream.example/v1", KEY), Asking(*fates)
        upstreams = Upstreams(
            [target], connect_seconds_max=1, first_byte_seconds_max=head_seconds_max, connections_max=1
        )
        monkeypatch.setattr("relay.upstream.upstreams.ask", asking)
        return upstreams, target, asking

    return meet


def test_a_head_that_does_not_come_in_time_may_have_been_processed(meeting: Any) -> None:
    upstreams, target, pool = meeting(5.0, head_seconds_max=0.05)
    assert refusal(upstreams, target) == ("upstream_timeout", 504, False)
    assert pool.sent == 1


def test_connecting_is_tried_again_and_sending_is_not(meeting: Any) -> None:
    no_connection = NewConnectionError(None, "refused")
    upstreams, target, pool = meeting(no_connection, OSError("reset after it was sent"))
    assert refusal(upstreams, target) == ("upstream_bad_response", 502, False)
    assert pool.sent == 2


def test_whoever_interrupts_the_waiting_is_heard(meeting: Any) -> None:
    upstreams, target, _ = meeting(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), upstreams.open([target], Ask()):
        pytest.fail("it was opened")
