"""A self-test as it comes, cut anywhere."""

import json

from relay.core.diagnosis.evidence import Answer, Arrived, Failure
from relay.diagnosis.listening import Listener

ARRIVED = {"protocol": "HTTP/1.1", "headers": ["Origin"], "origin_allowed": True}
FIRST = (
    b"data: " + json.dumps({"n": 1, "of": 2, "sent_at_ms": 5, "elapsed_ms": 0, "arrived": ARRIVED}).encode() + b"\n\n"
)
SECOND = b'data: {"n":2,"of":2,"sent_at_ms":105,"elapsed_ms":100}\n\n'


def test_frames_are_read_however_they_are_cut() -> None:
    body = b": ping\n\n" + FIRST + SECOND + b"data: [DONE]\n\n"
    for size in (1, 7, len(body)):
        listener = Listener(0.5)
        for start in range(0, len(body), size):
            listener.take(body[start : start + size])
        stream = listener.stream(Answer(200), None)
        assert [(frame.number, frame.sent_ms) for frame in stream.frames] == [(1, 5.0), (2, 105.0)]
        assert stream.arrived == Arrived("HTTP/1.1", ("Origin",), True)
        assert (stream.ended, stream.error, stream.quiet_seconds[0]) == (True, "", 0.5)


def test_an_error_and_a_broken_end_are_kept() -> None:
    listener = Listener(0.0)
    listener.take(FIRST + b'data: {"error":{"code":"key_revoked"}}\n\n')
    stream = listener.stream(Answer(200), Failure("closed", "broke off"))
    assert (stream.ended, stream.error, len(stream.frames)) == (False, "key_revoked", 1)
    assert stream.answer.failure == Failure("closed", "broke off")


def test_what_is_no_self_test_is_no_frame() -> None:
    listener = Listener(0.0)
    listener.take(b'data: [1]\n\ndata: <html>\n\ndata: {"n":"x"}\n\nevent: x\n\n' + b"x" * 100_000)
    assert listener.stream(Answer(200), None).frames == ()
