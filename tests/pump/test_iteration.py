"""The WSGI iterable of the same source and flow: whole frames, an honest end, and everything released once."""

import time
from collections.abc import Callable

import gevent
import pytest

from relay.core.flow import Ending
from relay.core.sse import PING
from relay.pump.iteration import Truncated
from tests.pump.iterating import Iterate, Iterating
from tests.pump.outcomes import failing_flow, told
from tests.pump.partners import DONE, LAST_CHUNK, STREAM_HEAD, Answering, chunk, frame
from tests.pump.stage import FRAME_BYTES_MAX

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"


def test_each_frame_is_handed_out_before_the_next_is_made(iterate: Iterate) -> None:
    it = iterate()
    for number in range(20):
        it.upstream.say(frame(f"n{number}."))
        with gevent.Timeout(1):
            assert next_frame(it) == frame(f"n{number}.")
    it.upstream.finish()
    assert it.rest() == DONE
    assert it.meter.end == "done"


def next_frame(it: Iterating) -> bytes:
    """Empty chunks are none."""
    data = next(it.body)
    assert data
    return data


def test_what_came_with_the_head_goes_first(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    assert it.rest() == frame("a") + DONE


def test_the_exchange_is_closed_before_the_terminal_frame_is_handed_out(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(frame("a")) + chunk(DONE) + LAST_CHUNK)
    assert (next(it.body), it.closed) == (frame("a"), [])
    assert next(it.body) == DONE
    assert len(it.closed) == 1
    assert it.upstream.sees_the_other_leave(0.5)


def test_the_exchange_is_closed_before_the_last_byte_of_a_json_answer_is_handed_out(iterate: Iterate) -> None:
    it = iterate(JSON_HEAD + b'{"a": 10}')
    got = b""
    while not got.endswith(b"}"):
        got += next(it.body)
    assert (got, len(it.closed)) == (b'{"a": 10}', 1)


def test_the_terminal_frame_ends_the_answer_and_not_the_last_chunk(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(frame("a")) + chunk(DONE))
    assert it.rest() == frame("a") + DONE


def test_an_answer_that_is_whole_is_not_cut_at_the_same_moment(iterate: Iterate) -> None:
    assert iterate(STREAM_HEAD + chunk(DONE) + LAST_CHUNK, total_seconds_max=0).rest() == DONE


def test_a_silence_is_filled_with_heartbeats(iterate: Iterate) -> None:
    it = iterate(heartbeat_seconds=0.05)
    begun_at = time.monotonic()
    assert [next(it.body), next(it.body)] == [PING, PING]
    assert 0.08 < time.monotonic() - begun_at < 0.4
    it.upstream.say(frame("a"))
    assert next(it.body) == frame("a")


def test_no_heartbeat_stands_in_a_json_answer(iterate: Iterate) -> None:
    it = iterate(JSON_HEAD, heartbeat_seconds=0.02)
    gevent.spawn_later(0.1, it.upstream.send, b'{"a": 10}')
    assert it.rest() == b'{"a": 10}'


def test_a_silence_ends_at_the_idle_time(iterate: Iterate) -> None:
    it = iterate(idle_seconds_max=0.15, heartbeat_seconds=0.05)
    begun_at = time.monotonic()
    assert told(it.rest_of_a_cut()) == "upstream_idle_timeout"
    assert 0.14 < time.monotonic() - begun_at < 0.5
    assert it.meter.end == "stall"


def test_a_lively_stream_ends_at_the_total_deadline(iterate: Iterate) -> None:
    it = iterate(total_seconds_max=0.15)
    talking = gevent.spawn(talk, it.upstream)
    assert told(it.rest_of_a_cut()) == "deadline_exceeded"
    assert it.meter.end == "deadline"
    talking.kill()


def talk(upstream: Answering) -> None:
    while True:
        upstream.say(frame("a"))
        gevent.sleep(0.02)


@pytest.mark.parametrize(
    ("act", "end", "code"),
    [
        (Answering.close, "truncated", "upstream_incomplete"),
        (Answering.reset, "reset", "upstream_disconnected"),
        (lambda upstream: upstream.send(LAST_CHUNK), "upstream_eof", "upstream_incomplete"),
        (lambda upstream: upstream.send(b"no chunk\r\n"), "truncated", "upstream_bad_response"),
        (lambda upstream: upstream.say(b"data: " + b"x" * FRAME_BYTES_MAX), "oversize", "frame_too_large"),
    ],
    ids=["close", "reset", "no terminal frame", "bad chunk", "large frame"],
)
def test_a_cut_is_told_and_the_server_must_not_end_the_response(
    iterate: Iterate, act: Callable[[Answering], None], end: str, code: str
) -> None:
    it = iterate()
    it.upstream.say(frame("a"), b"data: unfinished")
    assert next(it.body) == frame("a")
    act(it.upstream)
    rest = it.rest_of_a_cut()
    assert (told(rest), rest.count(b"\n\n"), it.meter.end, len(it.closed)) == (code, 1, end, 1)


def test_a_reset_right_behind_the_head_is_told_like_any_other(iterate: Iterate) -> None:
    it = iterate(then=Answering.reset)
    assert (told(it.rest_of_a_cut()), it.meter.end) == ("upstream_disconnected", "reset")


def test_what_the_same_read_brought_before_a_bad_chunk_is_handed_out(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(frame("a")) + b"no size\r\n")
    rest = it.rest_of_a_cut()
    assert (rest.startswith(frame("a")), told(rest)) == (True, "upstream_bad_response")


def test_a_json_answer_that_is_cut_ends_without_a_word(iterate: Iterate) -> None:
    it = iterate(JSON_HEAD + b'{"a"')
    it.upstream.close()
    assert it.rest_of_a_cut() == b'{"a"'
    assert it.meter.end == "truncated"


def test_no_server_swallows_the_sign_of_a_cut() -> None:
    assert not issubclass(Truncated, (OSError, StopIteration))


@pytest.mark.parametrize("frames", [0, 1])
def test_closing_early_releases_everything_once(iterate: Iterate, frames: int) -> None:
    it = iterate(STREAM_HEAD + chunk(frame("a")))
    got = [next(it.body) for _ in range(frames)]
    it.body.close()
    it.body.close()
    assert (got, len(it.closed)) == ([frame("a")] * frames, 1)
    assert it.meter.endings[0] == Ending("client_gone")
    assert it.upstream.sees_the_other_leave(0.5)


def test_closing_behind_the_end_changes_nothing(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(DONE) + LAST_CHUNK)
    it.rest()
    it.body.close()
    assert ({ending.end for ending in it.meter.endings}, len(it.closed)) == ({"done"}, 1)


def test_a_flow_that_fails_is_told_as_our_own_failure(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(frame("fail")), flow=failing_flow)
    assert told(it.rest_of_a_cut()) == "internal_error"
    it.body.close()
    assert (it.meter.endings[0].end, len(it.meter.failures), len(it.closed)) == ("truncated", 1, 1)


def test_the_meter_is_told_of_every_byte_before_the_exchange_is_closed(iterate: Iterate) -> None:
    it = iterate()
    begun_at = time.monotonic()
    for text in ("a", "b"):
        it.upstream.say(frame(text))
        next(it.body)
        gevent.sleep(0.1)
    it.upstream.finish()
    it.rest()
    assert begun_at <= it.meter.first_at < begun_at + 0.09
    assert it.meter.bytes_out == len(frame("a") + frame("b") + DONE)


def test_a_flow_that_fails_over_what_came_before_a_bad_chunk_is_told_as_a_cut(iterate: Iterate) -> None:
    it = iterate(STREAM_HEAD + chunk(b"fail") + b"no size\r\n", flow=failing_flow)
    it.rest_of_a_cut()
    assert (it.meter.endings[0].end, len(it.meter.failures), len(it.closed)) == ("truncated", 1, 1)
