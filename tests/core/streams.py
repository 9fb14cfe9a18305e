"""Event streams to try things on, ways to cut them, and a second reader that shares nothing with the relay's own.

`read` follows WHATWG HTML 9.2.6 over the whole body at once, as slowly and plainly as it is written there.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from unittest.mock import patch

import httpx2
from hypothesis import strategies as st
from openai._streaming import SSEDecoder as OpenaiDecoder

with patch.dict(sys.modules, {"httpx": httpx2}):  # httpx-sse wants it for annotations alone, and declares no dependency
    import httpx_sse._decoders as httpx_sse

BOM = b"\xef\xbb\xbf"
LINE_SEPARATOR = "\u2028".encode()
NEXT_LINE = "\u0085".encode()

CORPUS: dict[str, bytes] = {
    "nothing": b"",
    "blank lines only": b"\n\n\r\n\r\r\n\n",
    "BOM leading": BOM + b"data: 1\n\ndata: 2\n\n",
    "BOM alone": BOM,
    "BOM cut off": BOM[:2],
    "BOM mid-stream": b"data: 1\n\n" + BOM + b"data: 2\n\ndata: 3" + BOM + b"\n\n",
    "BOM after a heartbeat": b": ping\n\n" + BOM + b"data: 1\n\n",
    "BOM, then line ends": BOM + b"\r\n\r\ndata: 1\r\n\r\n",
    "nearly a BOM": b"\xef\xbb\nid: 1\ndata: 1\n\n",
    "LF": b"data: 1\n\ndata: 2\n\n",
    "CR": b"data: 1\r\rdata: 2\r\r",
    "CRLF": b"data: 1\r\n\r\ndata: 2\r\n\r\n",
    "mixed line ends": b"data: 1\r\n\rdata: 2\n\r\ndata: 3\r\n\ndata: 4\r\rdata: 5\n\n",
    "many blank lines": b"\n\n\ndata: 1\n\n\n\n\ndata: 2\r\n\r\n\r\n\r\ndata: 3\n\n\n",
    "multi-line data": b"data: a\ndata:b\ndata:  c\ndata:\ndata\ndata: d\n\n",
    "bare data": b"data\n\ndata:\n\ndata: \n\n",
    "unknown fields": b"data: 1\nfoo: bar\nfoo\ndata : no\n datum: no\nDATA: no\n\n",
    "comments": b": hello\n:\n\n: more\ndata: 1\n:between\ndata: 2\n\n: last\n\n",
    "comments only": b": one\n\n: two\n\n",
    "comment without blank line": b"data: 1\n\n: ping\ndata: 2\n\n: never ended",
    "ids": b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: 7\ndata: d\nid: 8\n\n",
    "odd ids": b"id: 1\ndata: a\n\nid: a\0b\ndata: b\n\nid:" + b"x" * 300 + b"\ndata: c\n\n",
    "id only": b"id: 1\n\ndata: a\n\nid: 2\n\nid: 3\n\ndata: b\nid: 4\n\ndata: c\n\n",
    "id and comment only": b"id: 1\n: c\n\n: d\n\ndata: a\n\n: e\n\ndata: b\n\n",
    "retry": b"retry: 10\ndata: a\n\nretry: 20\n\ndata: b\n\nretry: soon\ndata: c\n\nretry:-1\ndata: d\n\n",
    "event only": b"event: ping\n\nevent: a\ndata: 1\n\nevent: b\nevent\ndata: 2\n\ndata: 3\n\n",
    "mixed block without data": b"event: x\nid: 1\nretry: 5\n: c\nfoo: d\n\ndata: 1\n\n",
    "Unicode line ends": b"data: a" + LINE_SEPARATOR + b"b" + NEXT_LINE + b"c\x0b\x0c\x1c\x1d\x1ed\n\ndata: e\n\n",
    "code points of two to four bytes": "data: äß\n\ndata: 漢字\n\ndata: 👍🏽\n\n".encode(),
    "invalid UTF-8": b"data: \xff\xfe\x80\n\ndata: \xc3\ndata: \xa4\n\ndata: \xed\xa0\x80\n\n",
    "NUL": b"data: a\0b\n\n\0data: c\n\n",
    "partial last frame": b"data: 1\n\ndata: 2\n",
    "partial last line": b"data: 1\r\n\r\ndata: 2",
    "DONE": b'data: {"a":1}\n\ndata: [DONE]\n\n',
    "DONE with CRLF": b'data: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n',
    "DONE twice": b'data: {"a":1}\n\ndata: [DONE]\n\ndata: [DONE]\n\n',
    "data after DONE": b'data: {"a":1}\n\ndata:[DONE]\n\n: c\n\nid: 9\n\ndata: {"b":2}\n\n',
    "DONE missing": b'data: {"choices":[{"finish_reason":"stop"}]}\n\n',
    "finish missing": b'data: {"choices":[{"finish_reason":null}]}\n\n',
    "error event": b'event: error\ndata: {"error":{"message":"no"}}\n\n',
}  # fmt: skip

LINE_ENDS = (b"\n", b"\r", b"\r\n")
_CHUNK = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":null}]}'
_JSON = (
    (_CHUNK,),
    (b'data:{"choices":[]}',),
    (b'data: {"choices":[{"finish_reason":"stop"}]}',),
    (b'data: {"usage":{"prompt_tokens":3,"completion_tokens":4}}',),
    (b"data: [1,", b"data:2]"),
    (b'data: {"type":"ping"}', b"data"),
)
_OTHERS = (
    b": c", b":", b"id: 1", b"id: 2", b"id", b"id:\0", b"retry: 5", b"retry: x", b"event: ping", b"event", b"foo: bar",
)  # fmt: skip
_BROKEN = (
    b"data", b"data: [DONE]", BOM, BOM + b"data: 1", b"\xff", b"data: " + LINE_SEPARATOR, b"da", b"data: \xe2\x80",
)  # fmt: skip
_ANY_LINE = (*(line for lines in _JSON for line in lines), *_OTHERS, *_BROKEN)


def _soup() -> st.SearchStrategy[bytes]:
    """Streams that no server would send: any lines, any line ends, any number of blank lines."""
    ends, blanks = st.sampled_from(LINE_ENDS), st.sampled_from((b"", b"", *LINE_ENDS))
    return st.lists(st.tuples(st.sampled_from(_ANY_LINE), ends, blanks).map(b"".join), max_size=14).map(b"".join)


def _legal() -> st.SearchStrategy[bytes]:
    """Streams of blocks with one JSON text each, or none, among all other kinds of lines."""
    others = st.lists(st.sampled_from(_OTHERS), max_size=3)
    parts = st.tuples(others, st.sampled_from(((), *_JSON)), others, st.sampled_from(LINE_ENDS))
    return st.lists(parts.map(_block), max_size=8).map(b"".join)


def _block(parts: tuple[Iterable[bytes], Iterable[bytes], Iterable[bytes], bytes]) -> bytes:
    before, data, after, line_end = parts
    return b"".join(line + line_end for line in (*before, *data, *after, b""))


SOUP, LEGAL = _soup(), _legal()


@dataclass(frozen=True)
class Event:
    """What an EventSource would dispatch."""

    type: bytes
    data: bytes
    last_id: bytes


class Told(NamedTuple):
    """An event as an SDK's decoder gives it; one without data makes the SDK fail."""

    event: str | None
    data: str
    id: str | None
    retry: int | None


Decode = Callable[[bytes], list[Told]]


@dataclass
class Heard:
    """What a client knows after a body: its events, and the reconnection time (ms; None: never told)."""

    events: list[Event] = field(default_factory=list)
    retry: int | None = None


def blocks(body: bytes) -> list[list[bytes]]:
    """The lines of each block that a blank line ended; what follows the last blank line is not there."""
    body = body[len(BOM) :] if body.startswith(BOM) else body
    found: list[list[bytes]] = [[]]
    for line in re.split(rb"\r\n|\r|\n", body)[:-1]:
        if line:
            found[-1].append(line)
        else:
            found.append([])
    return [block for block in found[:-1] if block]


def read(body: bytes) -> Heard:
    """Interpret a whole body."""
    heard, last_id = Heard(), b""
    for block in blocks(body):
        kind, data = b"", b""
        for line in block:
            name, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if name == b"event":
                kind = value
            elif name == b"data":
                data += value + b"\n"
            elif name == b"id" and b"\0" not in value:
                last_id = value
            elif name == b"retry" and re.fullmatch(rb"[0-9]+", value):
                heard.retry = int(value)
        if data:
            heard.events.append(Event(kind or b"message", data[:-1], last_id))
    return heard


def openai_events(body: bytes) -> list[Told]:
    """What openai-python makes of it."""
    return [Told(e.event, e.data, e.id, e.retry) for e in OpenaiDecoder().iter_bytes(iter([body]))]


def httpx_events(body: bytes) -> list[Told]:
    """What httpx-sse makes of it; openai-python 1.x decodes in the same way."""
    lines, decoder = httpx_sse.SSELineDecoder(), httpx_sse.SSEDecoder()
    events = map(decoder.decode, [*lines.decode(body.decode()), *lines.flush()])
    return [Told(e.event, e.data, e.id, e.retry) for e in events if e is not None]


def pieces(body: bytes, places: Iterable[int]) -> list[bytes]:
    """The body cut at these places."""
    edges = [0, *sorted(places), len(body)]
    return [body[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def every_cut(body: bytes) -> Iterator[list[bytes]]:
    """The body in one piece, in two at every place, in three around every byte, and byte by byte."""
    yield [body]
    for at in range(1, len(body)):
        yield pieces(body, [at])
        yield pieces(body, [at, at + 1])
    yield [body[at : at + 1] for at in range(len(body))]


def cut_at_random(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, list[bytes]]]:
    """A body and the pieces in which it arrives; some of them are empty."""

    def cut(body: bytes) -> st.SearchStrategy[tuple[bytes, list[bytes]]]:
        places = st.lists(st.integers(0, len(body)), max_size=12)
        return places.map(lambda at: (body, pieces(body, at)))

    return bodies.flatmap(cut)
