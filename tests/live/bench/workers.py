"""Several workers behind one port: which connection is whose, and one of them killed."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator

from tests.live.bench import procfs
from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.waiting import until

BOOT_SECONDS_MAX = 30.0
CONNECTIONS_MAX = 200

# Nothing but what a test does may end a stream, and no probe counts among its requests.
PATIENT = {
    "RELAY_STREAM__HEARTBEAT_SECONDS": "1",
    "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "30",
    "RELAY_HEALTH__PROBE_SECONDS": "3600",
    "RELAY_SERVER__LAME_DUCK_SECONDS": "0",
    "RELAY_SERVER__DRAIN_SECONDS": "1",
}


def several(workers: int, redis_url: str, **more: str) -> dict[str, str]:
    """The environment of a relay of so many workers; without a URL there may be one."""
    return {**PATIENT, "WEB_CONCURRENCY": str(workers), **({"REDIS_URL": redis_url} if redis_url else {}), **more}


@contextlib.contextmanager
def one_caller_each(relay: RelayProcess, workers: int, key: str = "") -> Iterator[dict[int, RawCaller]]:
    """A connection to each worker, by its pid; the kernel deals connections out, so there are some in vain."""
    with contextlib.ExitStack() as stack:
        found: dict[int, RawCaller] = {}
        opened: list[RawCaller] = []

        def is_complete() -> bool:
            if len(opened) < CONNECTIONS_MAX:
                opened.append(stack.enter_context(RawCaller(relay.port, key=key)))
                assert _is_served(opened[-1])
            found.update(_by_worker(relay, opened))
            return len(found) == workers

        until(is_complete, BOOT_SECONDS_MAX, f"a connection to each of {workers} workers")
        yield found


def connections_of(relay: RelayProcess, ports: Iterable[int]) -> Counter[int]:
    """How many of the connections from these local ports each worker holds, by its pid."""
    wanted = set(ports)
    pairs = ((pid, sock) for pid in relay.worker_pids() for sock in procfs.tcp_sockets(pid))
    return Counter(pid for pid, sock in pairs if {sock.local_port, sock.remote_port} & wanted)


def kill_worker(relay: RelayProcess, pid: int) -> None:
    """kill -9; return once another one has taken its place."""
    before = set(relay.worker_pids())
    assert pid in before
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(relay.worker_pids()) - {pid}) == len(before), BOOT_SECONDS_MAX, "a worker in its place")


def _by_worker(relay: RelayProcess, callers: list[RawCaller]) -> dict[int, RawCaller]:
    by_port = {caller.sock.getsockname()[1]: caller for caller in callers}
    pairs = ((pid, sock.remote_port) for pid in relay.worker_pids() for sock in procfs.tcp_sockets(pid))
    return {pid: by_port[port] for pid, port in pairs if port in by_port}


def _is_served(caller: RawCaller) -> bool:
    """A connection belongs to a worker once it was accepted: so its first answer is awaited."""
    caller.get("/health/live", key="")
    status, _ = caller.read_head()
    caller.read_all()
    return status == 200
