"""Scripted upstreams, and the requests that are sent to them. Nothing is patched: the calls block."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import RelayError
from relay.core.targets import Target
from relay.upstream.upstreams import Upstreams
from tests.live.bench.certificates import Certificates, make_certificates
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until

KEY = "sk-canary-upstream-Bn6Xs"


@dataclass
class Ask:
    """A request for an upstream."""

    method: str = "POST"
    upstream_path: str = "/chat/completions"
    body: Any = b'{"model":"gpt-test"}'
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    presence: AbstractContextManager[Any] = field(default_factory=nullcontext)

    def headers_for(self, target: Target) -> dict[str, str]:
        return self.headers


def target_of(upstream: ScriptedUpstream, **more: Any) -> Target:
    return Target("default", upstream.base_url, KEY, **more)


def refusal(upstreams: Upstreams, target: Target, ask: Ask | None = None) -> tuple[str, int, bool | None]:
    """Code, status, and whether an SDK may ask again."""
    with pytest.raises(RelayError) as caught, upstreams.open([target], ask or Ask()):
        pytest.fail("it was opened")
    assert KEY not in f"{caught.value!r} {caught.value.__context__!r}"
    return caught.value.code, caught.value.kind.status, caught.value.kind.retry


def assert_closed(upstream: ScriptedUpstream) -> None:
    """The connection is not merely left to the collector."""
    until(lambda: upstream.open == 0, 2.0, "a closed connection")


def read_body(answer: Any) -> bytes:
    """As the pump reads it, so that nothing below thinks that the connection is free again."""
    sock, data = answer.sock, answer.buffered
    sock.settimeout(2)
    body: bytes = answer.decoder.feed(data)
    while not answer.decoder.ended:
        body += answer.decoder.feed(sock.recv(65_536))
    return body


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start_upstream() -> Iterator[Callable[..., ScriptedUpstream]]:
    """start_upstream(tls=certificates.trusted): a script that failed fails the test."""
    with ExitStack() as started:

        def start(tls: ssl.SSLContext | None = None) -> ScriptedUpstream:
            upstream = ScriptedUpstream(tls).start()
            started.callback(upstream.check)
            started.callback(upstream.stop)
            return upstream

        yield start


@pytest.fixture
def upstream(start_upstream: Callable[..., ScriptedUpstream]) -> ScriptedUpstream:
    return start_upstream()


@pytest.fixture
def upstreams_of() -> Iterator[Callable[..., Upstreams]]:
    """upstreams_of(target, ...): opens requests to these; the connections are closed in the end."""
    with ExitStack() as opened:

        def build(*targets: Target) -> Upstreams:
            upstreams = Upstreams(targets, connect_seconds_max=2, first_byte_seconds_max=2, connections_max=4)
            for pool in upstreams._pools.values():
                opened.callback(pool.retire)
            return upstreams

        yield build


@pytest.fixture
def nothing_trusted_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What requests would read from the environment or the home directory: a proxy, and credentials for loopback."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
