"""A throng of callers in one thread: each asks once, on a connection of its own, and keeps it as an SDK's pool does."""

import asyncio
import json
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from tests.live.bench.wire import HEAD_END, PING, Head, answer_body, parse_head

CHAT = "/v1/chat/completions"
PATIENCE_SECONDS = 60.0


@dataclass
class Told:
    """What one caller was told. `seconds`: from connecting to the answer's head. `whole`: its framing says so."""

    head: Head
    seconds: float
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    @property
    def status(self) -> int:
        return self.head.status

    def was_admitted(self) -> bool:
        return self.status == 200

    def was_refused(self) -> bool:
        return self.status != 200

    @property
    def code(self) -> str:
        """Of an error answer, else empty."""
        return "" if self.status == 200 else str(json.loads(self.body)["error"]["code"])

    @property
    def frames(self) -> list[bytes]:
        """Without heartbeats."""
        return bytes(self.body).replace(PING, b"").split(b"\n\n")[:-1]


class Throng:
    """A context manager that ends all connections. `heads`: of all that were answered so far."""

    def __init__(self, port: int, key: str, *headers: str) -> None:
        self.heads: list[Told] = []
        self._port, self._head = port, "".join(f"{line}\r\n" for line in (f"Authorization: Bearer {key}", *headers))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._asked: list[Future[Told]] = []
        self._writers: list[asyncio.StreamWriter] = []

    def __enter__(self) -> "Throng":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def ask(self, count: int, per_second: float, value: object, path: str = CHAT) -> list[Future[Told]]:
        """So many callers, one after the other at that pace; each one's future is done when its answer has ended."""
        body = json.dumps(value).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{self._head}"
        raw = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        asked = [self._run(raw, number / per_second) for number in range(count)]
        self._asked += asked
        return asked

    def _run(self, raw: bytes, delay_seconds: float) -> "Future[Told]":
        return asyncio.run_coroutine_threadsafe(self._ask(raw, delay_seconds), self._loop)

    async def _ask(self, raw: bytes, delay_seconds: float) -> Told:
        await asyncio.sleep(delay_seconds)
        began = self._loop.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        writer.write(raw)
        head = parse_head(await reader.readuntil(HEAD_END))
        told = Told(head, self._loop.time() - began)
        self.heads.append(told)
        decoder = answer_body(head, "POST")
        while not decoder.ended and (data := await reader.read(65_536)):
            told.body += decoder.feed(data)
        told.whole = decoder.ended
        return told

    async def _leave(self) -> None:
        for future in self._asked:
            future.cancel()
        for writer in self._writers:
            writer.close()
        closing = (writer.wait_closed() for writer in self._writers)
        await asyncio.gather(*closing, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


def results(asked: Iterable["Future[Told]"]) -> list[Told]:
    """Wait for all. Raises what one of them met."""
    return [future.result(PATIENCE_SECONDS) for future in asked]


def percentiles(seconds: Iterable[float]) -> tuple[float, float]:
    """The median and the 99th in 100."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
