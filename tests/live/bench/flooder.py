"""A program that asks as fast as it can: `python -m tests.live.bench.flooder PORT SECONDS CONNECTIONS KEY`; `#`s at the
end of the key are another number each time. Prints how often which status came, as JSON.
"""

import itertools
import json
import re
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator

BODY = b'{"model":"gpt-test","messages":[{"role":"user","content":"Hello"}],"stream":true}'
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\n\r\n(?:\{.*?\}\}|.*\r\n0\r\n\r\n)", re.DOTALL)


class Asker:
    """One connection, with one request on it at a time; a new one when it was closed."""

    def __init__(self, port: int, keys: Iterator[str], told: Counter[str]) -> None:
        self._port, self._keys, self._told = port, keys, told
        self._connect()

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self) -> None:
        try:
            data = self._sock.recv(65_536)
        except OSError:
            data = b""
        self._received += data
        if not data:
            self._told["closed"] += 1
            self.close()
            self._connect()
        elif answer := ANSWER.search(self._received):
            self._told[answer[1].decode()] += 1
            self._ask()

    def close(self) -> None:
        self._sock.close()

    def _connect(self) -> None:
        self._sock = socket.create_connection(("127.0.0.1", self._port), 10)
        self._ask()

    def _ask(self) -> None:
        self._received = b""
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {next(self._keys)}\r\n"
        framing = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        try:
            self._sock.sendall((head + framing).encode() + BODY)
        except OSError:
            return  # the next read tells


def variations(key: str) -> Iterator[str]:
    """The key over and over, its `#`s counting up."""
    fixed, digits = key.rstrip("#"), key.count("#")
    return (fixed + (f"{number:0{digits}}" if digits else "") for number in itertools.count())


def flood(port: int, seconds: float, connections: int, key: str) -> Counter[str]:
    keys, told = variations(key), Counter[str]()
    askers = [Asker(port, keys, told) for _ in range(connections)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for asker in select.select(askers, [], [], 0.1)[0]:
            asker.read()
    for asker in askers:
        asker.close()
    return told


if __name__ == "__main__":
    port, seconds, connections, key = sys.argv[1:]
    print(json.dumps(flood(int(port), float(seconds), int(connections), key)))
