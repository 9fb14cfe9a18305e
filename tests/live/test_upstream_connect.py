"""The way to the upstream: refused, unknown to the name server, hanging, or not to be trusted (FAULTS D1 to D4)."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.bench.certificates import Certificates
from tests.live.bench.conversation import Connection, PeerGone
from tests.live.bench.ports import deaf_port, free_port
from tests.live.bench.relay_process import UPSTREAM_KEY
from tests.live.bench.scripts import Script, polite
from tests.live.pairs import CHAT, CONNECT_SECONDS, EARLY_SECONDS_MAX, LATE_SECONDS_MAX, Answer, Case, Pair, running_pair

# Stands in for a name server: before anything else is imported, Python runs `sitecustomize`.
NAME_SERVER = """
import _socket
from pathlib import Path
from time import sleep

real = _socket.getaddrinfo

def getaddrinfo(host, *args, **kwargs):
    seconds = Path(__file__).with_name("fails-after").read_text() if host in ("localhost", b"localhost") else ""
    if seconds:
        sleep(float(seconds))
        raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")
    return real(host, *args, **kwargs)

_socket.getaddrinfo = getaddrinfo
"""


class NameServer:
    """Knows `localhost`, or fails for it after some seconds; everything else is looked up as ever."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "sitecustomize.py").write_text(NAME_SERVER)
        self.work()

    def fail_after(self, seconds: float) -> None:
        (self.directory / "fails-after").write_text(str(seconds))

    def work(self) -> None:
        (self.directory / "fails-after").write_text("")


@pytest.fixture(params=[True, False], ids=["stream", "no stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module", params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_refused(answer: Answer, status: int, code: str, *, may_retry: bool) -> None:
    assert (answer.status, answer.code, answer.whole) == (status, code, True), answer.body
    assert answer.head.header("x-should-retry") == (None if may_retry else "false")
    assert answer.head.header("relay-error-source") == "relay"
    assert answer.head.header("content-type") == "application/json"


# D1


@pytest.fixture(scope="module")
def nowhere(scheme: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, socket.socket]]:
    """A relay whose upstream's address is taken by somebody who does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base_url = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}/v1"
        with running_pair(tmp_path_factory.mktemp("relay"), base_url=base_url) as pair:
            yield pair, taken


def test_a_refused_connection_is_told_within_a_second(nowhere: tuple[Pair, socket.socket], stream: bool) -> None:
    with nowhere[0].case(again="upstream_unreachable") as case:
        answer = case.answer(stream=stream)
        assert_refused(answer, 502, "upstream_unreachable", may_retry=True)
        assert answer.seconds < 1.0
        case.assert_logged(status=502, error="upstream_unreachable")


def test_connecting_is_tried_again_because_nothing_was_sent(tmp_path: Path) -> None:
    """The upstream begins to listen while the request is under way. Five tries: the first may come too late for it."""
    for number in range(5):
        directory = tmp_path / str(number)
        directory.mkdir()
        with late_listener() as (port, listen), running_pair(directory, base_url=f"http://127.0.0.1:{port}/v1") as pair:
            caller = pair.case
            break


# D2


@pytest.fixture(scope="module")
def name_server(tmp_path_factory: pytest.TempPathFactory) -> NameServer:
    return NameServer(tmp_path_factory.mktemp("name-server"))
