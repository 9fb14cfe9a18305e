"""A stage for each test, on gevent's loop in this process; after each test nothing may be left of its streams."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import gevent
import pytest
import trustme
from gevent import socket, ssl

from relay.pump.sweep import Sweep

pytest.register_assert_rewrite(
    "tests.pump.partners", "tests.pump.iterating", "tests.pump.outcomes", "tests.pump.keeping"
)

from tests.pump.iterating import Iterate, begin_iteration  # noqa: E402
from tests.pump.keeping import Keep, Keeping, Produce, kept_with, new_kept  # noqa: E402
from tests.pump.partners import SMALL_BYTES, Answering, Caller, pair, until  # noqa: E402
from tests.pump.stage import Stage, Streaming, Tls, bounds  # noqa: E402

QUICK_SECONDS = 0.02
SECONDS_MAX = 20.0


@pytest.fixture(scope="session", autouse=True)
def warm_loop() -> None:
    """What gevent opens once and keeps."""
    gevent.get_hub().threadpool.apply(lambda: None)
    socket.getaddrinfo("127.0.0.1", 1)


@pytest.fixture(autouse=True)
def gevent_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is not patched, so urllib3 is handed the loop's sockets."""
    monkeypatch.setattr("urllib3.util.connection.socket", socket)


@pytest.fixture(autouse=True)
def loop_failures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What callbacks and greenlets raised into the loop."""
    failures: list[str] = []
    hub = gevent.get_hub()

    def handle_error(context: object, kind: type, error: object, trace: object) -> None:
        if not issubclass(kind, gevent.GreenletExit):
            failures.append(f"{context!r}: {kind.__name__}: {error}")

    monkeypatch.setattr(hub, "handle_error", handle_error)
    return failures


@pytest.fixture
def reported() -> list[str]:
    """What the sweep reported."""
    return []


@pytest.fixture
def sweep(reported: list[str], monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Looks so often that short bounds can be told apart."""
    monkeypatch.setattr("relay.pump.sweep.SWEEP_SECONDS", QUICK_SECONDS)
    return Sweep(lambda where, error: reported.append(f"{where}: {error!r}"))


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A test that waits in vain fails, whatever it waits for."""
    with gevent.Timeout(SECONDS_MAX):
        yield


@pytest.fixture(autouse=True)
def nothing_left(bounded: None, loop_failures: list[str], reported: list[str], sweep: Sweep) -> Iterator[None]:
    """No watcher is active, no descriptor is open, nothing was raised that nobody told."""
    before = _held()
    yield
    deadline = time.monotonic() + 1
    while _more_than(before) and time.monotonic() < deadline:
        gevent.sleep(0.002)
    assert not _more_than(before)
    assert (len(sweep), loop_failures, reported) == (0, [], [])


@pytest.fixture
def stage(nothing_left: None, sweep: Sweep) -> Iterator[Callable[..., Stage]]:
    """stage(idle_seconds_max=0.1): a worker whose other bounds are out of the way; its log must stay clean."""
    with ExitStack() as opened:

        def make(early_open_seconds: float = 0, tls: Tls | None = None, **shorter: float) -> Stage:
            made = Stage(sweep, bounds(**shorter), early_open_seconds, tls)
            opened.callback(_check, made)
            opened.callback(made.close)
            return made

        yield make


def _trusting(ca_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_file)
    return context


def _check(stage: Stage) -> None:
    """Whatever the test was about."""
    assert stage.log.failures == []
    assert not any(stage.pump.keys_in_use())
    assert all(greenlet.dead for greenlet in stage.served)
    assert all(len(meter.endings) == 1 for meter in stage.meters)


def _more_than(before: dict[str, int]) -> dict[str, int]:
    """What is held beyond that; less is what an earlier test had left."""
    return {name: count for name, count in _held().items() if count > before[name]}


def _held() -> dict[str, int]:
    return {"watchers": gevent.get_hub().loop.activecnt, "descriptors": len(os.listdir("/proc/self/fd"))}


@pytest.fixture
def ends(nothing_left: None) -> Iterator[tuple[Caller, socket.socket]]:
    """A caller and the socket that serves it."""
    near, far = pair()
    with near, far:
        yield Caller(near), far


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    """A certificate for 127.0.0.1, and the loop's TLS where a server would have patched it in."""
    monkeypatch.setattr("relay.pump.source.ssl", ssl)
    monkeypatch.setattr("relay.upstream.pool._trusting", _trusting)
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return Tls(server, str(tmp_path / "ca.pem"))


@pytest.fixture
def iterate(stage: Callable[..., Stage]) -> Iterator[Iterate]:
    """iterate(sent, idle_seconds_max=0.1): the iterable of an answer of which `sent` is there."""
    made = stage()
    with ExitStack() as opened:
        yield partial(begin_iteration, made, opened)


@pytest.fixture
def streaming(stage: Callable[..., Stage]) -> Streaming:
    """streaming(total_seconds_max=0.1): a stage, a caller whose stream has begun, and the upstream's connection."""

    def begin(**shorter: float) -> tuple[Stage, Caller, Answering]:
        made = stage(**shorter)
        caller = made.caller()
        return made, caller, made.begin(caller)

    return begin


@pytest.fixture
def narrow(stage: Callable[..., Stage]) -> Streaming:
    """The same with small buffers towards the caller, so that one who does not read is noticed after a few KiB."""

    def begin(**shorter: float) -> tuple[Stage, Caller, Answering]:
        made = stage(**shorter)
        made.sndbuf_bytes = SMALL_BYTES
        caller = made.caller(rcvbuf_bytes=SMALL_BYTES)
        return made, caller, made.begin(caller)

    return begin


@pytest.fixture
def keep(stage: Callable[..., Stage]) -> Keep:
    """keep(3, heartbeat_seconds=0.1): a live stream of three frames, on a stage with that bound."""

    def begin(count: int, sndbuf_bytes: int = 0, **shorter: float) -> Keeping:
        made = stage(**shorter)
        made.sndbuf_bytes = sndbuf_bytes
        return Keeping(made, kept_with(count))

    return begin


@pytest.fixture
def produce(stage: Callable[..., Stage]) -> Produce:
    """produce(bytes_max=20_000, total_seconds_max=1): a production whose upstream's head has come."""

    def begin(bytes_max: int = 65_536, sndbuf_bytes: int = 0, **shorter: float) -> tuple[Keeping, Answering]:
        made = stage(**shorter)
        made.sndbuf_bytes = sndbuf_bytes
        keeping = Keeping(made, new_kept(bytes_max))
        upstream = keeping.produce()
        until(lambda: keeping.kept.head and made.pump.live)
        return keeping, upstream

    return begin
