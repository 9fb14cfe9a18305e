"""What happened to the stream on its way."""

from dataclasses import replace

import pytest

from relay.core.diagnosis.arrivals import Arrival
from relay.core.diagnosis.evidence import Arrived, Stream
from tests.core.diagnosis.healthy import STREAM, WELL, broken, headed, refused, wrong

HEAP = tuple(Arrival(frame.number, frame.sent_ms, 99_000.0) for frame in STREAM.frames)


def only(name: str, **worse: Stream | None) -> str:
    """What is measured of the only finding, which has this name."""
    (finding,) = wrong(**worse)
    assert finding.name == name
    return f"{finding.measured} {finding.remedy}"


def test_where_all_is_well_nothing_is_found() -> None:
    assert wrong() == []


def test_a_heap_is_buffering() -> None:
    told = only("buffering", plain=replace(STREAM, frames=HEAP))
    assert "20 frames sent over 1.9 s came over 0.0 s in one heap, the first of a heap 1.9 s late" in told
    assert "proxy_buffering off;" in told


def test_a_content_coding_is_named() -> None:
    assert "Content-Encoding: gzip" in only("gzip", dressed=headed(STREAM, ("Content-Encoding", "gzip")))


def test_http_1_0_to_the_relay_is_what_the_relay_saw() -> None:
    seen = Arrived("HTTP/1.0", WELL.plain.arrived.headers, True)  # type: ignore[union-attr]
    assert "proxy_http_version 1.1;" in only("http10_to_relay", plain=replace(STREAM, arrived=seen))


@pytest.mark.parametrize(
    "stream",
    [
        headed(STREAM, less=("Transfer-Encoding",)),
        headed(STREAM, ("Content-Length", "99"), less=("Transfer-Encoding",)),
        replace(STREAM, answer=replace(STREAM.answer, version=10)),
    ],
)
def test_no_chunks_to_the_caller_is_http_1_0(stream: Stream) -> None:
    assert "chunked_transfer_encoding on;" in only("http10_to_caller", plain=stream)


def test_a_stream_that_breaks_is_told_with_how_far_it_came() -> None:
    cut = broken(replace(STREAM, frames=STREAM.frames[:7]), "closed", "the connection broke off")
    assert "7 frames, then the connection broke off" in only("whole", plain=cut)
    assert "7 frames, then the end" in only("whole", plain=replace(STREAM, ended=False, frames=STREAM.frames[:7]))


def test_what_the_relay_itself_ended_is_its_word() -> None:
    assert "relay_draining after 20 frames" in only("whole", plain=replace(STREAM, ended=False, error="relay_draining"))


def test_a_cut_in_silence_tells_after_how_many_seconds() -> None:
    gone = broken(replace(STREAM, quiet_seconds=(25.0, 0.0, 10.04)), "closed", "broke off")
    assert "cut after 10.0 s in an open stream" in only("idle", silent=gone)
    timed_out = replace(refused(504), quiet_seconds=(20.02, 0.0, 0.0))
    assert "status 504: cut after 20.0 s before the answer's head" in only("idle", silent=timed_out)


def test_what_could_not_be_measured_is_not_found() -> None:
    assert wrong(silent=None, dressed=None) == []
    assert wrong(silent=replace(STREAM, ended=False, error="relay_draining")) == []
    assert wrong(silent=refused(429, "too_many_streams")) == []
    assert wrong(plain=replace(STREAM, frames=STREAM.frames[:2], arrived=None)) == []
