"""One who asks whether the relay is alive, over and over, each time on a new connection, as a monitor does."""

import threading
import time

from tests.live.bench.caller import RawCaller

PATIENCE_SECONDS = 5.0


class Pulse:
    """A context manager. `seconds`: how long each answer took; `missed`: what came instead of one."""

    def __init__(self, port: int, interval_seconds: float = 0.05) -> None:
        self.seconds: list[float] = []
        self.missed: list[str] = []
        self._port, self._interval_seconds = port, interval_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(self._interval_seconds):
            began = time.monotonic()
            try:
                status = self._ask()
            except (OSError, TimeoutError) as error:
                self.missed.append(f"{error!r} after {time.monotonic() - began:.1f} s")
            else:
                self.missed += [] if status == 200 else [str(status)]
                self.seconds.append(time.monotonic() - began)

    def _ask(self) -> int:
        with RawCaller(self._port) as caller:
            caller.get("/health/live")
            return caller.read_head(PATIENCE_SECONDS)[0]
