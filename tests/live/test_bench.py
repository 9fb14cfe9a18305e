"""The bench against itself: the scripted upstream says what its script says, and tells what it saw."""

import socket
import ssl
import time
from collections.abc import Callable

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection, PeerGone
from tests.live.bench.ports import deaf_port, free_port
from tests.live.bench.scripts import (
    CHUNKED,
    CLOSE,
    DONE,
    answering,
    chat_completion,
    chat_frame,
    chat_stream,
    in_turn,
    json_answer,
    length,
    streaming,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import LAST_CHUNK, chunk

PATH = "/v1/chat/completions"
STREAM = {"model": "gpt-test", "stream": True, "messages": []}
BODY = chat_frame("one")


def test_requests_are_recorded_byte_by_byte(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    direct.post(PATH, {"model": "m"}, [("X-Extra", "1")])
    direct.read_head()
    request = upstream.wait_for_requests(1)[0]
    assert (request.method, request.path, request.json()) == ("POST", PATH, {"model": "m"})
    assert request.header("authorization") == "Bearer rk_test"
    assert request.raw == upstream.received
    assert request.raw.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type:")


def test_a_chunked_request_is_put_together_and_kept_raw(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    raw = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"one ") + chunk(b"two") + LAST_CHUNK
    direct.send(raw)
    direct.read_head()
    request = upstream.wait_for_requests(1)[0]
    assert (request.body, request.raw) == (b"one two", raw)


@pytest.mark.parametrize("leave", [RawCaller.close, RawCaller.reset, RawCaller.half_close])
def test_the_upstream_sees_at_once_that_its_peer_left(
    upstream: ScriptedUpstream, direct: RawCaller, leave: Callable[[RawCaller], None]
) -> None:
    seen: list[bool] = []

    def script(conn: Connection) -> None:
        conn.read_request()
        seen.append(conn.wait_closed(5))

    upstream.answer(script)
    direct.post(PATH, STREAM)
    upstream.wait_for_requests(1)
    left = time.monotonic()
    leave(direct)
    assert 0 <= upstream.wait_for_peer_close() - left < 0.5
    upstream.hang_up()
    assert seen == [True]


def test_a_stall_ends_when_the_peer_leaves(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    def script(conn: Connection) -> None:
        conn.read_request()
        conn.stall(60)

    upstream.answer(script)
    direct.post(PATH, STREAM)
    upstream.wait_for_requests(1)
    assert upstream.busy == 1
    direct.close()
    upstream.wait_for_peer_close()
    until(lambda: upstream.open == 0)


def test_a_kept_alive_connection_is_idle_and_may_leave_unnoticed(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    upstream.answer(answering(json_answer(chat_completion("hi"))))
    direct.post(PATH, {})
    direct.read_head()
    until(lambda: (upstream.open, upstream.busy) == (1, 0))
    direct.close()
    until(lambda: upstream.open == 0)
    assert upstream.peer_closes == []


def test_a_new_script_reaches_a_kept_alive_connection(upstream: ScriptedUpstream, direct: RawCaller) -> None:
    for word in ("first", "second", "third"):
        upstream.answer(answering(json_answer(word)))
        direct.post(PATH, {})
        direct.read_head()
        assert direct.read_all() == f'"{word}"'.encode()
    assert upstream.accepted == 1


def test_scripts_in_turn_serve_one_connection_each(upstream: ScriptedUpstream) -> None:
    upstream.answer(in_turn(answering(json_answer(1)), answering(json_answer(2))))
    answers = []
    for _ in range(3):
        with RawCaller(upstream.port) as caller:
            caller.get("/")
            caller.read_head()
            answers.append(caller.read_all())
    assert answers == [b"1", b"2", b"2"]


@pytest.mark.parametrize("framing", [CHUNKED, CLOSE, length(len(BODY + DONE))])
def test_a_stream_can_be_framed_in_three_ways(upstream: ScriptedUpstream, direct: RawCaller, framing: str) -> None:
    upstream.answer(streaming([BODY, DONE], framing))
    direct.post(PATH, STREAM)
    assert tuple(framing.split(": ")) in direct.read_head()[1]
    assert list(direct.frames()) == [BODY, DONE]
    assert direct.ended_cleanly
    assert direct.wait_closed(0.1) is (framing == CLOSE)


def test_a_script_that_fails_is_reported(start_upstream: Callable[[], ScriptedUpstream]) -> None:
    def script(conn: Connection) -> None:
        raise ValueError("a mistake in the script")

    upstream = start_upstream()
    upstream.answer(script)
    with RawCaller(upstream.port) as caller:
        assert caller.wait_closed(5)
    until(lambda: bool(upstream.errors))
    with pytest.raises(AssertionError, match="1 script"):
        upstream.check()


def test_a_missing_request_fails_with_what_was_seen(upstream: ScriptedUpstream) -> None:
    with pytest.raises(AssertionError, match="no 1 requests within 0.05 s; seen 0 requests"):
        upstream.wait_for_requests(1, 0.05)


def test_nobody_answers_at_a_free_port_and_a_deaf_one_hangs() -> None:
    with pytest.raises(ConnectionRefusedError):
        RawCaller(free_port()).connect()
    with deaf_port() as port, socket.socket() as sock:
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.connect(("127.0.0.1", port))


def test_a_trusted_upstream_speaks_tls(
    start_upstream: Callable[..., ScriptedUpstream], certificates: Certificates
) -> None:
    upstream = start_upstream(tls=certificates.trusted)
    with RawCaller(upstream.port, tls=certificates.client_context()) as caller:
        caller.post(PATH, STREAM)
        caller.read_head()
        assert list(caller.frames()) == chat_stream("Hello", " world")
    assert b"gpt-test" in upstream.received
    assert upstream.base_url.startswith("https://")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("expired", "expired"), ("wrong_host", "not valid for '127.0.0.1'"), ("self_signed", "self-signed")],
)
def test_a_faulty_certificate_is_refused_for_its_fault(
    start_upstream: Callable[..., ScriptedUpstream], certificates: Certificates, fault: str, reason: str
) -> None:
    upstream = start_upstream(tls=getattr(certificates, fault))
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        RawCaller(upstream.port, tls=certificates.client_context()).connect()
    until(lambda: len(upstream.handshake_failures) == 1)
    assert (upstream.requests, upstream.errors) == ([], [])


def test_hanging_up_ends_a_script_that_nobody_listens_to(upstream: ScriptedUpstream) -> None:
    def script(conn: Connection) -> None:
        with pytest.raises(PeerGone):
            conn.send(bytes(50_000_000))

    upstream.answer(script)
    with RawCaller(upstream.port) as caller:
        caller.connect()
        until(lambda: upstream.busy == 1)
        upstream.hang_up()
        assert upstream.open == 0
