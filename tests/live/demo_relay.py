"""A relay in front of the built-in demo upstream, each its own process: what the official clients are tried on."""

import contextlib
import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.program import Program
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.waiting import until

# A heartbeat each second, so that a slow stream has some; the response opens after a second of an upstream's silence.
SLOW_STREAMS = {
    "RELAY_STREAM__HEARTBEAT_SECONDS": "1",
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "1",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "4",
    "RELAY_STREAM__IDLE_SECONDS_MAX": "4",
    "RELAY_HEALTH__PROBE_SECONDS": "3600",  # the tests count what arrives at the upstream
    "RELAY_SERVER__LAME_DUCK_SECONDS": "0",
    "RELAY_SERVER__DRAIN_SECONDS": "1",
}
CANCEL_SECONDS_MAX = 1.0

# Upstreams that say the right thing in an unusual form: every client reads them as it reads a plain one.
ODD_FORMS = ["ids", "comments", "retry", "crlf", "odd-fields", "bom", "split"]


class DemoProcess:
    """The demo upstream as `python -m relay demo-upstream` runs it, on a free port."""

    def __init__(self, directory: Path) -> None:
        self.program = Program("demo", [sys.executable, "-m", "relay", "demo-upstream", "--port", "0"], directory, {})

    def wait_ready(self) -> "DemoProcess":
        self.program.wait_until(lambda: self.program.stdout().endswith("\n"))
        return self

    @property
    def base_url(self) -> str:
        return self.program.stdout().strip()

    @property
    def stats_url(self) -> str:
        return self.base_url.removesuffix("/v1") + "/demo/stats"

    def stats(self) -> dict[str, int]:
        """Requests so far, generations that run now, generations whose caller left."""
        with urllib.request.urlopen(self.stats_url, timeout=5) as answer:
            return dict(json.load(answer))

    @contextlib.contextmanager
    def one_cancelled(self) -> Iterator[None]:
        """What is done inside must stop the only generation in the time that a departure may take."""
        until(lambda: self.stats()["active"] <= 1, 5, "an otherwise idle upstream")
        before = self.stats()["cancelled"]
        yield
        until(lambda: self.stats()["cancelled"] == before + 1, CANCEL_SECONDS_MAX, "a cancelled generation")

    @contextlib.contextmanager
    def called(self, times: int) -> Iterator[None]:
        """What is done inside must reach the upstream that often: an SDK that asks again pays again."""
        before = self.stats()["requests"]
        yield
        assert self.stats()["requests"] - before == times

    def tail(self) -> str:
        return self.program.tail()


@dataclass(frozen=True)
class DemoRelay:
    """`key`: one of the relay's whose limits are out of the way."""

    demo: DemoProcess
    relay: RelayProcess
    key: str

    @property
    def environ(self) -> dict[str, str]:
        """What a client's program in another process needs to know."""
        return {"RELAY_URL": self.relay.base_url, "RELAY_KEY": self.key, "STATS_URL": self.demo.stats_url}

    def heartbeats(self, path: str, model: str) -> int:
        """How many a raw caller of this stream gets: a client that had none to read has shown nothing."""
        with RawCaller(self.relay.port, key=self.key) as caller:
            caller.post(path, {"model": model, "stream": True})
            caller.read_head()
            return caller.read_all(30).count(b": ping\n")

    def tail(self) -> str:
        return f"{self.relay.tail()}\n{self.demo.tail()}"


@contextlib.contextmanager
def demo_relay(directory: Path, **environ: str) -> Iterator[DemoRelay]:
    """Both run inside of the `with`; `directory` gets their output; `environ` goes over SLOW_STREAMS."""
    with contextlib.ExitStack() as running:
        _forget_settings(running.enter_context(pytest.MonkeyPatch.context()))
        demo = DemoProcess(directory)
        running.callback(demo.program.stop)
        relay = RelayProcess(demo.wait_ready().base_url, directory, {**SLOW_STREAMS, **environ})
        running.callback(relay.stop)
        key = relay.wait_ready().create_key("sdk", rpm=0, concurrent=0)
        yield DemoRelay(demo, relay, key)


def numbers(text: str) -> list[int]:
    """Which deltas of a `mock` or `fault` model are in a text, in their order."""
    return [int(number) for number in re.findall(r"@t\d+:(\d+):", text)]


def ages(text: str) -> list[float]:
    """How many seconds ago the deltas in a text were made; both clocks are the machine's."""
    return [(time.monotonic_ns() - int(made)) / 1e9 for made in re.findall(r"@t(\d+):", text)]


def _forget_settings(patch: pytest.MonkeyPatch) -> None:
    """A developer's settings of the official clients, and proxies, must not reach those in the test's own process."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        patch.delenv(name, raising=False)
    patch.setenv("NO_PROXY", "127.0.0.1")
