"""A relay in front of one scripted upstream, over plain HTTP or TLS, and what must hold after every fault."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.live.bench import canaries, leaks
from tests.live.bench.caller import RawCaller
from tests.live.bench.certificates import Certificates
from tests.live.bench.relay_process import UPSTREAM_KEY, RelayProcess
from tests.live.bench.scripts import DONE, Script, polite
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.wire import PING, Head, without_pings

CHAT = "/v1/chat/completions"
CONNECT_SECONDS = 1.0
HEAD_SECONDS = 1.2
IDLE_SECONDS = 1.5
# What a loaded machine may add to a deadline, and how early a clock may be.
LATE_SECONDS_MAX = 1.5
EARLY_SECONDS_MAX = 0.05

LIMITS = {
    "RELAY_STREAM__HEARTBEAT_SECONDS": "0.3",
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "0",
    "RELAY_STREAM__CONNECT_SECONDS_MAX": str(CONNECT_SECONDS),
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": str(HEAD_SECONDS),
    "RELAY_STREAM__IDLE_SECONDS_MAX": str(IDLE_SECONDS),
    "RELAY_SERVER__LAME_DUCK_SECONDS": "0",
    "RELAY_SERVER__DRAIN_SECONDS": "2",
    "RELAY_HEALTH__PROBE_SECONDS": "3600",  # its requests would be counted among a test's
}


@dataclass(frozen=True)
class Answer:
    """What a caller got. `whole`: its framing says that all is there; `seconds`: from the request to its end."""

    head: Head
    body: bytes
    whole: bool
    seconds: float

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def code(self) -> str:
        """The code of an error answer."""
        return str(json.loads(self.body)["error"]["code"])

    @property
    def frames(self) -> list[bytes]:
        """The complete frames, without heartbeats."""
        return without_pings(block + b"\n\n" for block in self.body.split(b"\n\n")[:-1])

    @property
    def told(self) -> dict[str, object]:
        """The error object in the last frame."""
        error: dict[str, object] = json.loads(self.frames[-1].rpartition(b"data: ")[2])["error"]
        return error

    @property
    def pings(self) -> int:
        return self.body.count(PING)


@dataclass
class Pair:
    """`key` has one slot, so that every request shows that the one before gave it back.

    `polite`: how the request after a case is answered. `settled`: the counts after the last case, unless it failed.
    """

    upstream: ScriptedUpstream
    relay: RelayProcess
    key: str
    polite: Script = polite
    settled: leaks.Baseline | None = None

    @contextlib.contextmanager
    def case(self, again: str = "") -> Iterator["Case"]:
        """One case on a fresh connection to the upstream; everything is looked after in the end.

        `again`: the code with which a polite request is refused afterwards, where it cannot succeed.
        """
        self.upstream.hang_up()
        self.upstream.forget()
        case = Case(self, self.settled or leaks.baseline(self.relay, self.upstream))
        self.settled = None
        try:
            yield case
            self.settled = case.assert_settled(again)
        finally:
            case.close()


class Case:
    """Asks the relay, each time on a connection of its own, unless told to use an open one."""

    def __init__(self, pair: Pair, before: leaks.Baseline) -> None:
        self.upstream, self.relay, self._pair, self._before = pair.upstream, pair.relay, pair, before
        self._callers: list[RawCaller] = []
        self._asked_at: dict[RawCaller, float] = {}
        self._requests = 0

    def tail(self) -> str:
        return self.relay.tail()

    def ask(
        self,
        *,
        stream: bool,
        path: str = CHAT,
        key: str | None = None,
        filler_bytes: int = 0,
        on: RawCaller | None = None,
    ) -> RawCaller:
        """Send a request and leave its answer to be read; `filler_bytes` make it larger."""
        message = {"role": "user", "content": "x" * filler_bytes}
        body = {"model": "gpt-test", "stream": stream, "messages": [message]}
        return self.send(json.dumps(body).encode(), path=path, key=key, on=on)

    def send(self, body: bytes, *, path: str = CHAT, key: str | None = None, on: RawCaller | None = None) -> RawCaller:
        """POST this body, said to be JSON; `key`: another than the pair's; `on`: a connection that is open already."""
        caller = on or self._connect(self._pair.key if key is None else key)
        caller.request("POST", path, body, [("Content-Type", "application/json")])
        self._count(caller)
        return caller

    def answer_to(self, caller: RawCaller, timeout_seconds: float = 10.0) -> Answer:
        return self.rest_of(caller, caller.read_answer_head(timeout_seconds), timeout_seconds)

    def rest_of(self, caller: RawCaller, head: Head, timeout_seconds: float = 10.0) -> Answer:
        """The answer whose head has been read already."""
        body = caller.read_all(timeout_seconds)
        return Answer(head, body, caller.ended_cleanly, time.monotonic() - self._asked_at[caller])

    def answer(self, *, stream: bool, path: str = CHAT, filler_bytes: int = 0) -> Answer:
        return self.answer_to(self.ask(stream=stream, path=path, filler_bytes=filler_bytes))

    def get(self, path: str) -> Answer:
        caller = self._connect("")
        caller.get(path)
        self._count(caller)
        return self.answer_to(caller)

    def assert_logged(self, **wanted: object) -> None:
        """The line of this case's first request to end has these values."""
        until(lambda: bool(self._lines()), what="the log line")
        line = self._lines()[0]
        assert {name: line[name] for name in wanted} == wanted, line

    def assert_settled(self, again: str) -> leaks.Baseline:
        """The only slot is free at once, and within two seconds nothing of the case is left. Return the new counts."""
        self.upstream.answer(self._pair.polite)
        outcome = _outcome(self.answer(stream=True))
        assert outcome == (again or "whole"), f"the next request: {outcome}"
        self.close()
        leaks.assert_back_to_baseline(self.relay, self.upstream, self._before, self._requests)
        self.upstream.check()
        self._assert_no_secret_went_out()
        return replace(self._before, log_lines=self._before.log_lines + self._requests)

    def close(self) -> None:
        for caller in self._callers:
            caller.close()

    def _connect(self, key: str) -> RawCaller:
        caller = RawCaller(self.relay.port, key=key)
        self._callers.append(caller)
        return caller

    def _count(self, caller: RawCaller) -> None:
        self._asked_at[caller] = time.monotonic()
        self._requests += 1

    def _lines(self) -> list[dict[str, object]]:
        return self.relay.log_lines()[self._before.log_lines :]

    def _assert_no_secret_went_out(self) -> None:
        got = {f"answer {number}": bytes(caller.received) for number, caller in enumerate(self._callers)}
        canaries.assert_absent({**got, "the process listing": canaries.process_listing()}, self.relay.secrets)
        keys = {name: secret for name, secret in self.relay.secrets.items() if secret != UPSTREAM_KEY}
        canaries.assert_absent({"what the upstream got": self.upstream.received}, keys)


def assert_refused(answer: Answer, code: str, *, status: int = 502, may_retry: bool = False) -> None:
    """The relay's own error, in JSON and whole."""
    assert (answer.status, answer.whole) == (status, True), answer
    assert (answer.code, answer.head.header("x-should-retry")) == (code, None if may_retry else "false"), answer
    assert answer.head.header("relay-error-source") == "relay", answer.head
    assert answer.head.header("content-type") == "application/json", answer.head


@contextlib.contextmanager
def running_pair(
    directory: Path,
    certificates: Certificates | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    **environ: str,
) -> Iterator[Pair]:
    """`certificates`: the relay speaks TLS to the upstream; `host`, `port`: where it looks for it, if elsewhere."""
    upstream = ScriptedUpstream(certificates.trusted if certificates else None).start()
    base_url = f"{'https' if certificates else 'http'}://{host}:{port or upstream.port}/v1"
    relay = RelayProcess(base_url, directory, {**LIMITS, **_trust(directory, certificates), **environ})
    try:
        relay.wait_ready()
        yield Pair(upstream, relay, relay.create_key("one-slot", rpm=1_000_000, concurrent=1))
    finally:
        relay.stop()
        upstream.stop()


def _trust(directory: Path, certificates: Certificates | None) -> dict[str, str]:
    if certificates is None:
        return {}
    path = directory / "relay.toml"
    path.write_text(f'[[upstreams]]\nca_file = "{certificates.ca_file}"\n')
    return {"RELAY_CONFIG": str(path)}


def _outcome(answer: Answer) -> str:
    if answer.status != 200:
        return answer.code
    return "whole" if answer.whole and answer.frames[-1] == DONE else f"cut: {answer.body[-500:]!r}"
