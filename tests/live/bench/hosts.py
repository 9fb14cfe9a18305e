"""Hosts of their own, as far as a program can tell: network namespaces, each with one cable to the test (ip-netns(8)).

The test has Redis, the database and the upstream on its loopback; bridges carry a port from one side to the other.
"""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

SKIPPED = "TWO HOSTS ARE NOT TESTED: it takes root and iproute2 to make network namespaces"
BUFFER_BYTES = 65_536


@dataclass
class Host:
    """`name` of its namespace; `address`: its own; `outside`: where it finds the test."""

    name: str
    address: str
    outside: str
    bridges: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a command there."""
        return ("ip", "netns", "exec", self.name)

    def lend(self, url: str) -> str:
        """The same URL of the test's loopback as this host must write it."""
        port = int(url.rpartition(":")[2].partition("/")[0])
        self.bridges.enter_context(bridge((self.outside, port), ("127.0.0.1", port)))
        return url.replace("127.0.0.1", self.outside)

    def publish(self, port: int) -> None:
        """Find this host's port on the test's loopback."""
        self.bridges.enter_context(bridge(("127.0.0.1", port), (self.address, port)))


def possible() -> bool:
    """Whether namespaces can be made here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"relay-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        ip("netns", "del", name)
    return made


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts, until the block ends."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_host(number)) for number in range(count)]


@contextlib.contextmanager
def _host(number: int) -> Iterator[Host]:
    name, cable = f"relay-{os.getpid()}-{number}", f"rly{os.getpid() % 100_000}x{number}"
    network = f"10.199.{10 + number}"
    host = Host(name, f"{network}.2", f"{network}.1")
    ip("netns", "add", name)
    try:
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{host.outside}/24", "dev", cable)
        ip("link", "set", cable, "up")
        for words in (("addr", "add", f"{host.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("link", "set", "lo", "up")):  # fmt: skip
            ip("-n", name, *words)
        with host.bridges:
            yield host
    finally:
        ip("netns", "del", name)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@contextlib.contextmanager
def bridge(here: tuple[str, int], there: tuple[str, int]) -> Iterator[None]:
    """What connects here is connected to there; who leaves on one side leaves on the other."""
    sockets: list[socket.socket] = [socket.create_server(here, backlog=512)]
    threading.Thread(target=_accept, args=(sockets, there), daemon=True).start()
    try:
        yield
    finally:
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def _accept(sockets: list[socket.socket], there: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        for _ in itertools.count():
            near, _ = sockets[0].accept()
            sockets.append(near)
            try:
                far = socket.create_connection(there, timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            sockets.append(far)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """A reset arrives as an end, which is as good for our purposes."""
    with contextlib.suppress(OSError):
        while piece := source.recv(BUFFER_BYTES):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
