"""What goes wrong before or in an upstream's head: FAULTS D5, D6, D15, B11, B13.

How a head is read does not depend on TLS, so the many malformed ones go over a plain connection only.
"""

import pytest

from tests.live.bench.scripts import Script, chat_stream, sse_head
from tests.live.bench.wire import LAST_CHUNK, chunk
from tests.live.misbehaviour import BODY, MEGABYTE, dripping, forever, ok, once, resident_bytes, stalling
from tests.live.pairs import EARLY_SECONDS_MAX, HEAD_SECONDS, LATE_SECONDS_MAX, Answer, Case, assert_refused

pytest_plugins = ["tests.live.shared_pairs"]


def assert_passed_or_refused(answer: Answer) -> None:
    """As it was meant, or not at all."""
    if answer.status == 200:
        assert (answer.body, answer.whole) == (BODY, True)
    else:
        assert_refused(answer, "upstream_bad_response")


@pytest.mark.parametrize("script", [stalling(), dripping(ok(), 0.1)], ids=["silence", "drips"])
def test_d5_d6_a_head_that_does_not_come_ends_at_its_deadline(case: Case, script: Script) -> None:
    case.upstream.answer(script)
    assert_at_the_head_deadline(case, case.answer(stream=True))


def test_d5_the_same_without_a_stream(plain: Case) -> None:
    plain.upstream.answer(stalling())
    assert_at_the_head_deadline(plain, plain.answer(stream=False))


def assert_at_the_head_deadline(case: Case, answer: Answer) -> None:
    assert_refused(answer, "upstream_timeout", status=504)
    assert HEAD_SECONDS - EARLY_SECONDS_MAX < answer.seconds < HEAD_SECONDS + LATE_SECONDS_MAX
    case.upstream.wait_for_peer_close(timeout_seconds=1)
    assert len(case.upstream.requests) == 1
    case.assert_logged(status=504, error="upstream_timeout")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x00\xff\x13\r\n\r\n", id="bytes"),
        pytest.param(b"<html>It works!</html>", id="HTTP/0.9"),
        pytest.param(ok(status=b"ICY 200 OK"), id="another protocol"),
        pytest.param(ok(status=b"HTTP/2.0 200 OK"), id="another version"),
        pytest.param(ok(status=b"HTTP/1.x 200 OK"), id="no version"),
        pytest.param(ok(status=b"HTTP/1.1 abc OK"), id="no status"),
        pytest.param(ok(status=b"HTTP/1.1 +200 OK"), id="signed status"),
        pytest.param(ok(status=b"HTTP/1.1 1000 OK"), id="long status"),
        pytest.param(b"HTTP/1.1 20", id="end in the status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="end in a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", id="end between two headers"),
        pytest.param(ok(b"X-Long: " + b"x" * 65 * 1024), id="header of 65 KiB"),
        pytest.param(ok(*[b"X-Many: 1"] * 99), id="101 headers"),
    ],
)
def test_d15_what_is_no_http_answer_is_refused(plain: Case, raw: bytes) -> None:
    plain.upstream.answer(once(raw))
    assert_refused(plain.answer(stream=False), "upstream_bad_response")
    plain.assert_logged(status=502, error="upstream_bad_response")


@pytest.mark.parametrize(
    ("head", "again"),
    [
        pytest.param(b"", b"x", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-Endless: 1\r\n", id="headers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
    ],
)
def test_d15_an_endless_head_is_refused_and_costs_nobody_else(case: Case, head: bytes, again: bytes) -> None:
    held = resident_bytes(case.relay.worker_pids())
    case.upstream.answer(forever(head, again))
    caller = case.ask(stream=True)
    health = case.get("/health/live")
    answer = case.answer_to(caller, timeout_seconds=30)
    assert health.seconds < 1.0
    assert answer.status in (502, 504)
    assert answer.seconds < HEAD_SECONDS + LATE_SECONDS_MAX
    assert resident_bytes(case.relay.worker_pids()) - held < 16 * MEGABYTE


def test_d15_an_endless_chunk_size_ends_the_stream(case: Case) -> None:
    """The head was fine and is out, so that the frame has to tell."""
    held = resident_bytes(case.relay.worker_pids())
    case.upstream.answer(forever(sse_head() + chunk(chat_stream("one")[0]), b"0" * 512))
    answer = case.answer(stream=True)
    assert (answer.status, len(answer.frames), answer.whole) == (200, 2, False)
    assert answer.told["code"] == "upstream_bad_response"
    assert resident_bytes(case.relay.worker_pids()) - held < 16 * MEGABYTE
    case.upstream.wait_for_peer_close(timeout_seconds=1)
    case.assert_logged(end="truncated", status=200)


@pytest.mark.parametrize(
    "value",
    [b"a\x01b", b"a\x00b", b"a\x7fb", b"a\xe9b", b"a\rRetry-After: 66", b"a\r\n Retry-After: 66"],
    ids=["control", "NUL", "DEL", "obs-text", "bare CR", "fold"],
)
def test_b11_an_unclean_header_is_dropped_or_its_answer_refused(plain: Case, value: bytes) -> None:
    plain.upstream.answer(once(ok(b"Openai-Version: " + value)))
    answer = plain.answer(stream=False)
    assert_passed_or_refused(answer)
    assert answer.head.header("retry-after") is None
    assert (answer.head.header("openai-version") or "").partition(" ")[0] in ("", "a")


@pytest.mark.parametrize(
    "line",
    [b"no colon", b"X-Space : 1", b"X-\xe9: 1", b"X-\x01: 1", b": no name"],
    ids=["no colon", "space before the colon", "8-bit name", "control in the name", "no name"],
)
def test_b11_a_broken_header_line_hides_nothing_behind_it(plain: Case, line: bytes) -> None:
    """Python's parser takes such a line for the end of the headers: the framing would be read as a body."""
    chunked = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(BODY) + LAST_CHUNK
    plain.upstream.answer(once(chunked))
    assert_passed_or_refused(plain.answer(stream=False))


def test_b11_a_header_cannot_bring_another_framing(plain: Case) -> None:
    plain.upstream.answer(once(ok(b"X-Note: a\rContent-Length: 3")))
    assert_passed_or_refused(plain.answer(stream=False))


@pytest.mark.parametrize(
    "reason", [b"\xe9\xff", b"a\x01b", b"", b"x" * 60_000], ids=["8-bit", "control", "none", "long"]
)
def test_b11_the_upstreams_reason_stays_behind(plain: Case, reason: bytes) -> None:
    plain.upstream.answer(once(ok(status=b"HTTP/1.1 200 " + reason)))
    answer = plain.answer(stream=False)
    assert_passed_or_refused(answer)
    assert answer.head.start_line in ("HTTP/1.1 200 OK", "HTTP/1.1 502 BAD GATEWAY")


def test_b13_a_100_is_followed_by_the_answer(case: Case, stream: bool) -> None:
    answers = sse_head() + b"".join(map(chunk, chat_stream("one"))) + LAST_CHUNK if stream else ok()
    case.upstream.answer(once(b"HTTP/1.1 100 Continue\r\n\r\n" + answers))
    answer = case.answer(stream=stream)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.body == (b"".join(chat_stream("one")) if stream else BODY)


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"102 Processing", b"103 Early Hints"])
def test_b13_another_interim_answer_is_refused_and_its_connection_not_used_again(plain: Case, status: bytes) -> None:
    plain.upstream.answer(stalling(b"HTTP/1.1 " + status + b"\r\nLink: </style.css>\r\n\r\n"))
    assert_refused(plain.answer(stream=True), "upstream_bad_response")
    plain.upstream.wait_for_peer_close(timeout_seconds=1)
    plain.assert_logged(status=502, error="upstream_bad_response", upstream_status=int(status[:3]))
