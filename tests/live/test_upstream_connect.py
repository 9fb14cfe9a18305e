"""The way to the upstream: refused, unknown to the name server, hanging, or not to be trusted (FAULTS D1 to D4).

Up to the TCP connection there is no TLS, so D1, D2 and the hanging connect are tried without.
"""

import ssl
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection, PeerGone
from tests.live.bench.ports import deaf_port
from tests.live.bench.scripts import Script, chat_completion, json_answer, polite
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.name_server import NameServer
from tests.live.pairs import (
    CONNECT_SECONDS,
    EARLY_SECONDS_MAX,
    LATE_SECONDS_MAX,
    Answer,
    Case,
    Pair,
    assert_refused,
    running_pair,
)

pytest_plugins = ["tests.live.shared_pairs"]

# What ends a connect is its own deadline, not the head's.
PATIENT = {"RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "6"}


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Nobody accepts where the relay looks for its upstream."""
    with deaf_port() as port, running_pair(tmp_path_factory.mktemp("relay"), port=port, **PATIENT) as pair:
        yield pair


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> NameServer:
    return NameServer(tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def named(names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The relay knows its upstream by name only."""
    environ = {"PYTHONPATH": str(names.directory), **PATIENT}
    with running_pair(tmp_path_factory.mktemp("relay"), host="localhost", **environ) as pair:
        yield pair


@pytest.fixture
def by_name(named: Pair, names: NameServer) -> Iterator[Case]:
    with named.case() as case:
        yield case
        names.work()


@pytest.fixture(scope="module")
def shaking(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The relay wants TLS; the upstream's scripts shake hands themselves, each in its way."""
    upstream = ScriptedUpstream().start()
    with running_pair(tmp_path_factory.mktemp("relay"), certificates, port=upstream.port, **PATIENT) as pair:
        yield replace(pair, upstream=upstream, polite=behind(certificates.trusted, polite))
    upstream.stop()


@pytest.fixture
def handshake(shaking: Pair) -> Iterator[Case]:
    with shaking.case() as case:
        yield case


def behind(context: ssl.SSLContext, script: Script) -> Script:
    """The script behind a TLS handshake."""

    def shake(conn: Connection) -> None:
        try:
            conn.sock = context.wrap_socket(conn.sock, server_side=True)
        except OSError as error:
            raise PeerGone from error
        script(conn)

    return shake


def assert_at_the_connect_deadline(answer: Answer) -> None:
    assert_refused(answer, "upstream_connect_timeout", status=504, may_retry=True)
    assert CONNECT_SECONDS - EARLY_SECONDS_MAX < answer.seconds < CONNECT_SECONDS + LATE_SECONDS_MAX


def test_d1_a_refused_connection_is_told_within_a_second(by_name: Case, names: NameServer, stream: bool) -> None:
    names.work(address="127.0.0.2")  # the upstream listens on 127.0.0.1 only
    answer = by_name.answer(stream=stream)
    assert_refused(answer, "upstream_unreachable", may_retry=True)
    assert answer.seconds < 1.0
    by_name.assert_logged(status=502, error="upstream_unreachable")


def test_d1_connecting_is_tried_again_because_nothing_was_sent(by_name: Case, names: NameServer) -> None:
    names.fail(0, times=2)
    answer = by_name.answer(stream=True)
    assert (answer.status, answer.whole) == (200, True)
    assert (names.lookups, len(by_name.upstream.requests)) == (3, 1)


def test_d2_an_unknown_name_is_told_within_a_second(by_name: Case, names: NameServer, stream: bool) -> None:
    names.fail(0)
    answer = by_name.answer(stream=stream)
    assert_refused(answer, "upstream_unreachable", may_retry=True)
    assert answer.seconds < 1.0
    assert 1 <= names.lookups <= 3
    by_name.assert_logged(status=502, error="upstream_unreachable")


def test_d2_a_hanging_name_server_is_left_at_the_connect_deadline(by_name: Case, names: NameServer) -> None:
    names.fail(CONNECT_SECONDS + 1)
    assert_at_the_connect_deadline(by_name.answer(stream=False))
    by_name.assert_logged(status=504, error="upstream_connect_timeout")


def test_d2_attempts_to_connect_share_one_deadline(by_name: Case, names: NameServer) -> None:
    """A name server that fails slowly, each time just in time."""
    names.fail(CONNECT_SECONDS * 0.9)
    answer = by_name.answer(stream=True)
    assert_refused(answer, answer.code, status=answer.status, may_retry=True)
    assert answer.code in ("upstream_unreachable", "upstream_connect_timeout")
    assert answer.seconds < CONNECT_SECONDS + 0.8


def test_d2_twenty_hanging_lookups_leave_everybody_else_alone(named: Pair, names: NameServer) -> None:
    many = named.relay.create_key("many", concurrent=20)
    unused = named.relay.create_key("unused")
    with named.case() as case:
        names.fail(CONNECT_SECONDS + 1)
        hanging = [case.ask(stream=True, key=many) for _ in range(20)]
        until(lambda: names.lookups > 0, what="the first lookup")
        others = [
            case.get("/health/live"),
            case.answer_to(case.ask(stream=True, key="rk_unknown")),
            case.answer_to(case.ask(stream=True, key=unused, path="/v1/nothing")),
            case.answer_to(case.send(b"no JSON", key=unused)),
        ]
        assert [answer.status for answer in others] == [200, 401, 404, 400]
        assert max(answer.seconds for answer in others) < 0.5
        for caller in hanging:
            assert_at_the_connect_deadline(case.answer_to(caller))
        names.work()
        time.sleep(1.0)  # the lookups themselves come to their end


def hello_and_silence(conn: Connection) -> None:
    conn.receive()
    conn.stall(30)


def hello_and_drips(conn: Connection) -> None:
    """A record of 16 KiB, one byte after the other: each read is in time, the handshake is not."""
    conn.receive()
    conn.drip(b"\x16\x03\x03\x40\x00\x02" + bytes(16_383), 0.1)


def test_d4_a_hanging_connect_ends_at_its_deadline(deaf: Pair) -> None:
    with deaf.case(again="upstream_connect_timeout") as case:
        assert_at_the_connect_deadline(case.answer(stream=True))
        case.assert_logged(status=504, error="upstream_connect_timeout")


@pytest.mark.parametrize("script", [hello_and_silence, hello_and_drips])
def test_d4_a_hanging_handshake_ends_at_the_connect_deadline(handshake: Case, script: Script) -> None:
    handshake.upstream.answer(script)
    assert_at_the_connect_deadline(handshake.answer(stream=True))
    handshake.upstream.wait_for_peer_close(timeout_seconds=1)
    handshake.assert_logged(status=504, error="upstream_connect_timeout")


@pytest.mark.parametrize("name", ["expired", "wrong_host", "self_signed"])
def test_d3_an_untrusted_certificate_gets_no_request(
    handshake: Case, certificates: Certificates, name: str, stream: bool
) -> None:
    handshake.upstream.answer(behind(getattr(certificates, name), polite))
    assert_refused(handshake.answer(stream=stream), "upstream_tls")
    assert handshake.upstream.accepted == 1
    assert handshake.upstream.requests == []
    handshake.assert_logged(status=502, error="upstream_tls")


def reset_at_once(conn: Connection) -> None:
    conn.reset()


def reset_after_hello(conn: Connection) -> None:
    conn.receive()
    conn.reset()


def close_after_hello(conn: Connection) -> None:
    conn.receive()


def speak_plainly(conn: Connection) -> None:
    conn.receive()
    conn.send(json_answer(chat_completion("in the clear")))


@pytest.mark.parametrize("script", [reset_at_once, reset_after_hello, close_after_hello, speak_plainly])
def test_d3_a_broken_handshake_is_told_as_one(handshake: Case, script: Script) -> None:
    handshake.upstream.answer(script)
    assert_refused(handshake.answer(stream=True), "upstream_tls")
    assert b"/v1/chat/completions" not in handshake.upstream.received
    handshake.assert_logged(status=502, error="upstream_tls")
