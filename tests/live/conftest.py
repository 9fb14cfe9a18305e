"""Fixtures of the live tests: a relay that runs for a module, in front of an upstream scripted by each test."""

import contextlib
import itertools
import ssl
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.certificates import Certificates, make_certificates
from tests.live.bench.nginx import Nginx
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream

HERE = Path(__file__).parent

# Every limit short enough to be waited for, far enough from the next to tell which one was hit.
SHORT_LIMITS = {
    "RELAY_STREAM__HEARTBEAT_SECONDS": "1",
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "0",
    "RELAY_STREAM__CONNECT_SECONDS_MAX": "1",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "2",
    "RELAY_STREAM__IDLE_SECONDS_MAX": "3",
    "RELAY_STREAM__SLOW_READER_SECONDS_MAX": "3",
    "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000",  # all tests come from one address
    "RELAY_HEALTH__PROBE_SECONDS": "3600",  # its requests would count among a test's own
    "RELAY_SERVER__LAME_DUCK_SECONDS": "0",
    "RELAY_SERVER__DRAIN_SECONDS": "2",
}


class Stoppable(Protocol):
    def stop(self) -> object: ...


class Running(contextlib.ExitStack):
    """What a test's factory fixtures have started: stopped in reverse, each whatever became of the others."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[Stoppable] = []

    def add(self, one: Stoppable) -> None:
        self._started.append(one)
        self.callback(one.stop)

    def tail(self) -> str:
        return "\n".join(tail() for one in self._started if (tail := getattr(one, "tail", None)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the ends of the outputs of the programs it used."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if tail := getattr(value, "tail", None):
                report.sections.append((f"output of {name}", tail()))
    return report


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def module_upstream() -> Iterator[ScriptedUpstream]:
    upstream = ScriptedUpstream().start()
    yield upstream
    upstream.stop()


@pytest.fixture
def upstream(module_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """Polite until told otherwise. A script that failed fails the test."""
    module_upstream.hang_up()
    module_upstream.forget()
    yield module_upstream
    module_upstream.hang_up()
    module_upstream.check()


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), SHORT_LIMITS)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(scope="module")
def key(relay: RelayProcess) -> str:
    """A key whose limits are out of the way."""
    return relay.create_key("live", rpm=1_000_000, concurrent=10_000)


@pytest.fixture
def new_caller(relay: RelayProcess, key: str) -> Iterator[Callable[[], RawCaller]]:
    """Connects one more caller to the relay at each call; all are closed in the end."""
    callers: list[RawCaller] = []

    def connect() -> RawCaller:
        callers.append(RawCaller(relay.port, key=key))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.close()


@pytest.fixture
def caller(new_caller: Callable[[], RawCaller]) -> RawCaller:
    return new_caller()


@pytest.fixture
def direct(upstream: ScriptedUpstream) -> Iterator[RawCaller]:
    """A caller straight on the upstream, without a relay in between."""
    with RawCaller(upstream.port, key="rk_test") as caller:
        yield caller


@pytest.fixture
def running() -> Iterator[Running]:
    with Running() as started:
        yield started


@pytest.fixture
def fresh_directory(tmp_path: Path) -> Callable[[], Path]:
    numbers = itertools.count()

    def make() -> Path:
        directory = tmp_path / f"program-{next(numbers)}"
        directory.mkdir()
        return directory

    return make


@pytest.fixture
def start_upstream(running: Running) -> Callable[..., ScriptedUpstream]:
    """start_upstream(tls=certificates.trusted): one for this test alone; a script that failed fails the test."""

    class Checked(ScriptedUpstream):
        def stop(self) -> None:
            super().stop()
            self.check()

    def start(tls: ssl.SSLContext | None = None) -> ScriptedUpstream:
        upstream = Checked(tls).start()
        running.add(upstream)
        return upstream

    return start


@pytest.fixture
def start_relay(running: Running, fresh_directory: Callable[[], Path]) -> Callable[..., RelayProcess]:
    """start_relay(base_url, RELAY_STREAM__EARLY_OPEN_SECONDS="1"): for this test alone, short limits but for these."""

    def start(upstream_base_url: str, **environ: str) -> RelayProcess:
        relay = RelayProcess(upstream_base_url, fresh_directory(), {**SHORT_LIMITS, **environ})
        running.add(relay)
        return relay.wait_ready()

    return start


@pytest.fixture
def start_nginx(running: Running, fresh_directory: Callable[[], Path]) -> Callable[[str], Nginx]:
    """start_nginx(stock_location(port)): nginx with that inside of its location."""

    def start(location: str) -> Nginx:
        nginx = Nginx(location, fresh_directory())
        running.add(nginx)
        return nginx.wait_ready()

    return start
