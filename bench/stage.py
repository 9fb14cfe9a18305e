"""The stage: the load side and all peers, started once, measured one at a time, stopped in the end."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.load_side import LoadSide, Order, Outcome
from bench.peers import Running, Site, Start
from bench.processes import wait_until_idle
from bench.programs import BenchError, ask_status
from bench.samples import Meter, Usage

WARM_UP = (
    Order(streams=8, requests=64, frames=5, seconds_max=30),
    Order(streams=8, requests=64, frames=1, seconds_max=30, is_stream=False),
    Order(streams=32, requests=64, frames=100, seconds_max=30),
)
ASK = b'{"model":"bench","messages":[{"role":"user","content":"bench frames=1 interval_us=0 filler=1"}]}'


@dataclass(frozen=True)
class Cores:
    """One for the peer under test, one for all that loads it."""

    peer: int
    load: int


@dataclass
class Stage:
    """`learnt`: what a scenario wants to know of a peer in the next round."""

    starts: Mapping[str, Start]
    directory: Path
    cores: Cores
    load_side: LoadSide
    learnt: dict[tuple[str, str], int] = field(default_factory=dict)
    _running: dict[str, Running] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def open(self, names: Sequence[str]) -> None:
        for name in names:
            self._running[name] = self._start(name)

    def peer(self, name: str) -> Running:
        return self._running[name]

    def restart(self, name: str) -> Running:
        """Anew, so that memory which earlier runs left behind does not hide what this one takes."""
        self._running[name].stop()
        self._running[name] = self._start(name)
        return self._running[name]

    def run(self, name: str, order: Order) -> tuple[Outcome, Usage]:
        """Carry out the order once the peer is idle, with what it cost."""
        peer = self.peer(name)
        wait_until_idle(peer.pids())
        meter = Meter(peer, self.cores.peer, time.monotonic)
        outcome = self.load_side.call(peer, order)
        return outcome, meter.read()

    def close(self) -> None:
        """End all that was started."""
        self._stack.close()

    def _start(self, name: str) -> Running:
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        site = Site(directory, self.load_side.upstream_port, self.cores.peer, self.cores.load)
        running = self.starts[name](site)
        self._stack.callback(running.stop)
        self._check(name, running)
        return running

    def _check(self, name: str, running: Running) -> None:
        """Before anything is measured: it keeps strangers out, and what it relays is right."""
        if running.program and running.checks_keys:
            headers = {"Authorization": "Bearer wrong", "Content-Type": "application/json"}
            status = ask_status(running.port, "POST", running.path, headers, ASK)
            if status not in {401, 403}:
                raise BenchError(f"{name} answers {status} to a wrong key")
        for order in WARM_UP:
            outcome = self.load_side.call(running, order)
            if outcome.good < outcome.requests:
                raise BenchError(f"{name} does not relay: {outcome}")
