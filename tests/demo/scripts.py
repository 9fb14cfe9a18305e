"""Plays scripts without sockets or waiting."""

import json
from dataclasses import dataclass, field

from relay.demo.answers import answer
from relay.demo.script import End, Pause, Script
from relay.demo.wire import Request

CHAT = "/v1/chat/completions"
SECONDS_OF_SILENCE = 3_600


@dataclass
class Played:
    """All bytes as one, each send, the waits, and the end (None: the connection stays open)."""

    sends: list[bytes] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    end: End | None = None

    @property
    def head(self) -> str:
        return b"".join(self.sends).partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def raw_body(self) -> bytes:
        return b"".join(self.sends).partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        return dechunk(self.raw_body) if "Transfer-Encoding: chunked" in self.head else self.raw_body

    @property
    def events(self) -> list[dict[str, object]]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def play(script: Script) -> Played:
    played = Played()
    for step in script:
        if isinstance(step, End):
            played.end = step
            break
        if isinstance(step, Pause):
            played.pauses.append(step.seconds)
            if step.seconds >= SECONDS_OF_SILENCE:
                break
        else:
            played.sends.append(step)
    return played


def ask(model: str, path: str = CHAT, headers: dict[str, str] | None = None, **fields: object) -> Played:
    body = json.dumps({"model": model, **fields}).encode()
    return play(answer(Request("POST", path, headers or {}, body), serial=1, created=1_700_000_000))


def stream(model: str, path: str = CHAT, headers: dict[str, str] | None = None, **fields: object) -> Played:
    return ask(model, path, headers, stream=True, **fields)


def dechunk(data: bytes) -> bytes:
    """The chunks so far; what is no whole chunk any more is left out."""
    body, at = [], 0
    while (line_end := data.find(b"\r\n", at)) > 0:
        start = line_end + 2
        at = start + int(data[at:line_end], 16) + 2
        if at > len(data) or at == start + 2:
            break
        body.append(data[start : at - 2])
    return b"".join(body)
