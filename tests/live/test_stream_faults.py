"""C1 to C7, C10: an upstream's event stream in every odd shape, through the real relay, in all three framings.

The bytes that a caller must get follow from the WHATWG rules (HTML, 9.2.6) and from CONTRACT 3: line ends become LF, a
leading BOM goes, a block without data is never sent, and nothing else changes.
"""

import itertools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import (
    CLOSE,
    DONE,
    Script,
    every_request,
    sse_head,
)
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import PING
from tests.live.browser_events import browser_events
from tests.live.cases import (
    CHAT,
    FRAMINGS,
    ONE,
    STREAM,
    Owed,
    nothing_left,
    saying,
    stream,
)

BOM = b"\xef\xbb\xbf"
FRAME_BYTES_MAX = 1_048_576
HEARTBEAT_SECONDS = 1
LINE_ENDS = (b"\n", b"\r", b"\r\n")

# name: what the upstream says before DONE, what the caller gets before DONE
AS_IT_CAME = {
    "C1 leading BOM": (BOM + ONE, ONE),
    "C1 second BOM is data": (BOM + BOM + b"data: 1\n\ndata: 2\n\n", b":" + BOM + b"data: 1\n\ndata: 2\n\n"),
    "C1 BOM inside": (ONE + b"data: " + BOM + b"x\n\n", ONE + b"data: " + BOM + b"x\n\n"),
    "C3 several lines": (b"data: 1\ndata: 2\ndata:\ndata: 3\n\n",) * 2,
    "C3 empty data": (b"data\n\ndata:\n\ndata: \n\ndata:  two spaces\n\n",) * 2,
    "C3 no space": (b"event:x\ndata:1\n\n",) * 2,
    "C3 unknown fields": (b"foo: bar\ndata: 1\nDATA: no\n data: no\n\n",) * 2,
    "C3 block without data": (b"event: x\n\nfoo\n\n" + ONE, ONE),
    "C3 more blank lines": (b"\n\n\n" + ONE + b"\n\n" + ONE, ONE + ONE),
    "C4 comment with a frame": (b": c\ndata: 1\n: d\n\n",) * 2,
    "C4 comment alone": (b": c\n\n:\n\n" + ONE,) * 2,
    "C5 id empty": (b"id\ndata: 1\n\nid:\ndata: 2\n\n",) * 2,
    "C5 id with NUL": (b"id: a\0b\ndata: 1\n\n",) * 2,
    "C5 id huge": (b"id: " + b"9" * 100_000 + b"\ndata: 1\n\n",) * 2,
    "C5 id like the relay's": (b"id: rs_0123456789abcdefghijkl:7\ndata: 1\n\n",) * 2,
    "C5 id alone moves": (b"id: 7\n\ndata: 1\n\n", b"id: 7\ndata: 1\n\n"),
    "C6 retry": (b"retry: 3000\ndata: 1\n\n",) * 2,
    "C6 retry bogus": (b"retry: 1e3\ndata: 1\n\nretry: -1\ndata: 2\n\nretry\ndata: 3\n\n",) * 2,
    "C6 retry alone moves": (b"retry: 3000\n\ndata: 1\n\n", b"retry: 3000\ndata: 1\n\n"),
    "C7 frame of 64 KiB": (b"data: " + b"x" * 65_536 + b"\n\n",) * 2,
    "C7 frame of 1 MiB": (b"data: " + b"x" * (FRAME_BYTES_MAX - 6) + b"\n\n",) * 2,
    "C10 invalid UTF-8": (b"data: \xff\xfe\xc3\x28\xed\xa0\x80\n\n",) * 2,
    "C10 other separators": ("data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode(),) * 2,
}

# name: pieces with a heartbeat's silence after each, what the caller gets
SILENCES = {
    "C1 BOM after a heartbeat": ([BOM[:1], BOM[1:] + ONE, DONE], PING + ONE + PING + DONE),
    "C2 CR, silence, LF": (
        [b"data: a\r", b"\ndata: b\r\n\r", b"\n" + DONE],
        PING + b"data: a\ndata: b\n\n" + PING + DONE,
    ),
    "C4 inside a frame": ([b": c\n", b"data: 1\n", b"\n" + DONE], PING + PING + b": c\ndata: 1\n\n" + DONE),
    "C5 once ids are used": ([ONE, b"id: 7\ndata: 1\n\n", DONE], ONE + PING + b"id: 7\ndata: 1\n\n: ping\n" + DONE),
}


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.mark.parametrize("row", sorted({name.split()[0] for name in AS_IT_CAME}))
def test_what_an_upstream_says_arrives_as_it_came(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests, row: str
) -> None:
    cases = [name for name in AS_IT_CAME if name.split()[0] == row]
    owed.requests = len(cases) * len(FRAMINGS)
    for name, framing in itertools.product(cases, FRAMINGS):
        said, expected = AS_IT_CAME[name]
        upstream.answer(saying([said, DONE], framing))
        with subtests.test(name, framing=framing):
            body, whole = stream(caller)
            assert (body, whole) == (expected + DONE, True)
            assert browser_events(body) == browser_events(said + DONE)


def test_what_comes_byte_by_byte_arrives_the_same(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, subtests: pytest.Subtests
) -> None:
    cases = {name: case for name, case in AS_IT_CAME.items() if len(case[0]) < 1_000}
    owed.requests = len(cases)
    for name, (said, expected) in cases.items():
        upstream.answer(saying([bytes([byte]) for byte in said + DONE], "close", 0.0005))
        with subtests.test(name):
            assert stream(caller) == (expected + DONE, True)


@pytest.mark.parametrize(
    "ends", [*itertools.product(LINE_ENDS, repeat=1), LINE_ENDS], ids=["LF", "CR", "CRLF", "mixed"]
)
def test_line_ends_mean_the_same_at_every_split_point(
    upstream: ScriptedUpstream, caller: RawCaller, owed: Owed, ends: tuple[bytes, ...]
) -> None:
    turn = itertools.cycle(ends)
    lines = [b": c", b"event: x", b"data: a", b"data: b", b"", b"data", b"", b"data: [DONE]", b""]
    said = b"".join(line + next(turn) for line in lines)
    owed.requests = len(said) - 1
    for split in range(1, len(said)):
        upstream.answer(saying([said[:split], said[split:]], pause_seconds=0.003))
        expected = b": c\nevent: x\ndata: a\ndata: b\n\ndata\n\n" + DONE
        assert stream(caller) == (expected, True), f"split at {split}: {said!r}"


def test_a_heartbeat_stands_between_frames_and_nowhere_else(
    upstream: ScriptedUpstream, new_caller: Callable[[], RawCaller], owed: Owed
) -> None:
    owed.requests = len(SILENCES)
    upstream.answer(by_model({name: pieces for name, (pieces, _) in SILENCES.items()}))
    callers = {name: new_caller() for name in SILENCES}
    for name, caller in callers.items():
        caller.post(CHAT, {**STREAM, "model": name})
    for name, (_, expected) in SILENCES.items():
        assert callers[name].read_head()[0] == 200
        assert (callers[name].read_all(), callers[name].ended_cleanly) == (expected, True), name


def test_a_code_point_in_two_pieces_is_not_touched(upstream: ScriptedUpstream, caller: RawCaller) -> None:
    frame = "data: 🦀\n\n".encode()
    upstream.answer(saying([frame[:8], frame[8:], DONE], pause_seconds=0.02))
    assert stream(caller) == (frame + DONE, True)


def by_model(pieces: dict[str, list[bytes]]) -> Script:
    """Each stream is chosen by the model that was asked for, with a heartbeat's silence after each piece."""

    def answer(conn: Connection, request: Request) -> None:
        conn.send(sse_head(CLOSE))
        for piece in pieces[json.loads(request.body)["model"]]:
            conn.send(piece)
            conn.stall(HEARTBEAT_SECONDS * 1.5)
        conn.close()

    return every_request(answer)
