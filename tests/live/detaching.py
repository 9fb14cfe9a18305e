"""A relay that soon gives up what nobody reads, and streams that say nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import ASK, ONE, ask, held
from tests.live.conftest import SHORT_LIMITS
from tests.live.resuming import Kept, begin

DETACH_SECONDS = 0.7
TIMES = {
    **SHORT_LIMITS,
    "RELAY_RESUME__DETACH_SECONDS": str(DETACH_SECONDS),
    "RELAY_STREAM__IDLE_SECONDS_MAX": "60",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "60",
}


@contextmanager
def soon_giving_up(upstream: ScriptedUpstream, directory: Path) -> Iterator[RelayProcess]:
    relay = RelayProcess(upstream.base_url, directory, TIMES)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


def in_silence_before_its_head(conn: Connection) -> None:
    conn.read_request()
    held(conn)


def began(caller: RawCaller) -> Kept:
    """A silent stream of one frame, and its caller has it."""
    kept = begin(caller)
    caller.read_until(ONE)
    return kept


def polite(caller: RawCaller) -> int:
    status = ask(caller, ASK).status
    caller.read_all()
    return status
