"""Many connections that send next to nothing, watched until the other side has had enough of them."""

import select
import threading
import time

from tests.live.bench.caller import RawCaller


class SlowSenders:
    """`count` callers that send `first` at once and then a byte of `rest` at a time; a context manager.

    `closed_at`: seconds from the start to each one's end, once it was seen; `received`: what each one got.
    """

    def __init__(self, port: int, count: int, first: bytes, rest: bytes, interval_seconds: float = 0.5) -> None:
        self.closed_at: list[float] = []
        self.received: list[bytes] = []
        self._callers = [RawCaller(port) for _ in range(count)]
        self._first, self._rest, self._interval_seconds = first, rest, interval_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "SlowSenders":
        for caller in self._callers:
            if self._first:
                caller.send(self._first)
            else:
                caller.connect()
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(10)
        for caller in self._callers:
            caller.close()

    def wait(self, timeout_seconds: float) -> None:
        """Until all are closed; AssertionError when some are not."""
        self._thread.join(timeout_seconds)
        assert not self._thread.is_alive(), f"only {len(self.closed_at)} of {len(self._callers)} were closed"

    def _run(self) -> None:
        open_ones, turn = list(self._callers), 0
        while open_ones and not self._stopped.is_set():
            self._look(open_ones, self._began + self._interval_seconds * (turn + 1))
            for caller in open_ones:
                self._say(caller, self._rest[turn : turn + 1])
            turn += 1

    def _look(self, open_ones: list[RawCaller], until: float) -> None:
        """Until then, take in what arrives."""
        poller = select.poll()
        by_number = {caller.sock.fileno(): caller for caller in open_ones}
        for number in by_number:
            poller.register(number, select.POLLIN)
        while by_number and (left := until - time.monotonic()) > 0 and not self._stopped.is_set():
            for number, _ in poller.poll(min(left, 0.2) * 1000):
                if by_number[number].wait_closed(0.001):
                    poller.unregister(number)
                    self._note(caller := by_number.pop(number))
                    open_ones.remove(caller)

    def _note(self, caller: RawCaller) -> None:
        self.closed_at.append(time.monotonic() - self._began)
        self.received.append(bytes(caller.received))

    def _say(self, caller: RawCaller, byte: bytes) -> None:
        try:
            caller.sock.sendall(byte)
        except OSError:
            return  # the next look tells
