"""B4, B7: a refusal reaches its caller although nobody read the body, and the body is never taken for a request."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.live.bench.attack import SMUGGLED, chat_body, echo, good_answer, inner, post
from tests.live.bench.caller import RawCaller
from tests.live.bench.pooled_nginx import PooledNginx
from tests.live.bench.pushing import Pushed, body_pieces, deaf, listening
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import every_request
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.cases import ASK, Owed, ask, error_code, nothing_left
from tests.live.pairs import LIMITS

MEBIBYTE = 2**20
BODIES = [*itertools.product((3 * MEBIBYTE, 20 * MEBIBYTE), (False, True))]  # bytes, chunked; the limit is 2 MiB
DRAINED_BYTES_MAX = 128 * MEBIBYTE
NAMED = b"X-Request-Id: " + SMUGGLED
CLOSE = b"Connection: close\r\nHost:"
FRONTS = {"buffering": "", "streaming": "proxy_request_buffering off;"}
Push = Callable[[int, bytes, Iterator[bytes]], Pushed]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With room for many failing attempts from one address."""
    environ = {**LIMITS, "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture
def nginx(relay: RelayProcess, owed: Owed, tmp_path: Path, front: str) -> Iterator[PooledNginx]:
    """Its connections to the relay must be gone before `owed` looks."""
    nginx = PooledNginx(relay.port, tmp_path, FRONTS[front])
    try:
        yield nginx.wait_ready()
    finally:
        nginx.stop()


@pytest.fixture
def refused(key: str, refusal: str) -> tuple[str, int, str]:
    """A credential, and the status and code with which a large body of its is refused."""
    return {
        "too large": (key, 413, "body_too_large"),
        "unknown": ("rk_" + "x" * 38, 401, "invalid_api_key"),
        "nobody": ("", 401, "missing_credentials"),
    }[refusal]


def head_of(key: str, size: int, chunked: bool) -> bytes:
    return post(key, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}")


def json_pieces(chunked: bool) -> Iterator[bytes]:
    """A good body of one MiB in all."""
    body = chat_body(b"x" * (MEBIBYTE - len(chat_body(b""))))
    return iter([chunk(body), LAST_CHUNK] if chunked else [body])


def assert_told(pushed: Pushed, status: int, code: str) -> None:
    said = (pushed.head.status, pushed.whole)
    assert said == (status, True), f"{pushed.head} {pushed.body!r} after {pushed.sent_bytes} bytes"
    assert error_code(b"data: " + pushed.body) == code


@pytest.mark.parametrize("refusal", ["too large", "unknown", "nobody"])
def test_a_refusal_reaches_a_caller_that_listens_and_its_connection_ends_in_peace(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed, refused: tuple[str, int, str]
) -> None:
    key, *expected = refused
    owed.requests = len(BODIES)
    for size, chunked in BODIES:
        pushed = listening(relay.port, head_of(key, size, chunked), body_pieces(size, chunked))
        assert_told(pushed, *expected)  # type: ignore[arg-type]
        assert not pushed.reset, f"RST after {pushed.sent_bytes} bytes, chunked: {chunked}"
    assert upstream.received == b""


@pytest.mark.parametrize("refusal", ["too large", "nobody"])
def test_a_refusal_reaches_a_caller_that_sends_all_first(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed, refused: tuple[str, int, str]
) -> None:
    key, *expected = refused
    owed.requests = len(BODIES)
    for size, chunked in BODIES:
        pushed = deaf(relay.port, head_of(key, size, chunked), body_pieces(size, chunked))
        assert_told(pushed, *expected)  # type: ignore[arg-type]
        assert not pushed.reset, f"RST after {pushed.sent_bytes} bytes, chunked: {chunked}"
    assert upstream.received == b""


@pytest.mark.parametrize("push", [listening, deaf])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("refusal", ["too large", "nobody"])
def test_a_refusal_passes_nginx_whatever_it_does_with_the_body(
    nginx: PooledNginx, owed: Owed, refused: tuple[str, int, str], push: Push
) -> None:
    key, *expected = refused
    owed.requests = len(BODIES)
    for size, chunked in BODIES:
        head = head_of(key, size, chunked).replace(b"Host:", CLOSE, 1)
        assert_told(push(nginx.port, head, body_pieces(size, chunked)), *expected)  # type: ignore[arg-type]


def test_a_limit_is_told_of_a_body_that_was_large_but_not_too_large(
    relay: RelayProcess, upstream: ScriptedUpstream, owed: Owed
) -> None:
    key = relay.create_key("spent", rpm=1)
    owed.requests = 5
    with RawCaller(relay.port, key=key) as caller:
        assert ask(caller, ASK).status == 200
        caller.read_all()
    upstream.record.clear()
    for push, chunked in itertools.product((listening, deaf), (False, True)):
        pushed = push(relay.port, head_of(key, MEBIBYTE, chunked).replace(b"Host:", CLOSE, 1), json_pieces(chunked))
        assert_told(pushed, 429, "rate_limit_exceeded")
        assert (pushed.reset, upstream.received) == (False, b"")


@pytest.mark.parametrize("refusal", ["nobody", "too large"])
def test_a_body_without_an_end_is_not_read_for_ever(relay: RelayProcess, refused: tuple[str, int, str]) -> None:
    forever = itertools.repeat(chunk(b"x" * 65_536), DRAINED_BYTES_MAX // 65_536)
    pushed = deaf(relay.port, head_of(refused[0], 0, chunked=True), forever)
    assert pushed.sent_bytes < DRAINED_BYTES_MAX
    assert pushed.head.status == refused[1]


@pytest.mark.parametrize("length", [8_191, 20_000, 200_000])
def test_a_request_line_that_is_too_long_is_refused_as_such(relay: RelayProcess, owed: Owed, length: int) -> None:
    owed.requests = 0  # no route was reached
    with RawCaller(relay.port) as caller:
        line = b"GET /" + b"x" * (length - len("GET / HTTP/1.1")) + b" HTTP/1.1\r\n"
        caller.send(line + b"Host: x\r\n\r\n")
        assert caller.read_head()[0] == 414
        assert caller.wait_closed(2)


@pytest.mark.parametrize("size", [1_000, 60_000, 1_000_000])
@pytest.mark.parametrize("refusal", ["nobody", "unknown"])
def test_what_follows_an_early_refusal_is_still_its_body(
    new_caller: Callable[[], RawCaller],
    upstream: ScriptedUpstream,
    owed: Owed,
    refused: tuple[str, int, str],
    size: int,
) -> None:
    owed.requests = None  # whether the good one behind it is served depends on whether the connection is kept
    upstream.answer(every_request(echo))
    for chunked in (False, True):
        caller = new_caller()
        hidden = inner(caller.key)
        body = hidden * (size // len(hidden) + 1)
        caller.send(head_of(refused[0], len(body), chunked))
        assert caller.read_head()[0] == refused[1]
        caller.read_all()
        if not_refused(partial(caller.sock.sendall, chunk(body) + LAST_CHUNK if chunked else body)):
            assert good_answer(caller, "behind it") in ("", "closed")
        assert NAMED not in caller.received
        caller.close()
    assert SMUGGLED not in upstream.received


def not_refused(send: Callable[[], object]) -> bool:
    """Whether it could be sent; the other side may have closed by now."""
    try:
        send()
    except OSError:
        return False
    return True
