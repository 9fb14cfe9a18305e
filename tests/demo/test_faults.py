"""Each fault's bytes: what is wrong with it, and that nothing else is."""

import json
import zlib

import pytest

from relay.demo.faults.table import FAULTS
from relay.demo.script import LAST_CHUNK, End
from relay.demo.wire import Refused
from tests.demo.scripts import CHAT, SECONDS_OF_SILENCE, Played, ask, dechunk, stream

DONE = b"data: [DONE]\n\n"
FINISH = b'"finish_reason":"stop"'


def fault(name: str, path: str = CHAT, **fields: object) -> Played:
    return stream(f"fault-{name}", path, **fields)


def is_silent(played: Played) -> bool:
    return played.pauses[-1] == SECONDS_OF_SILENCE


@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"])
def test_every_fault_plays_on_every_route_even_without_a_word(path: str, name: str) -> None:
    played = [fault(name, path), ask(f"fault-{name}", path), fault(f"{name}-n0", path), ask(f"fault-{name}-n0", path)]
    assert all(one.sends for one in played) or name == "silent"


def test_an_unknown_fault_is_refused_with_the_list() -> None:
    with pytest.raises(Refused, match="eof-mid-chunk.*stall"):
        fault("nonsense")


@pytest.mark.parametrize("status", ["400", "401", "403", "429", "500", "503", "529"])
def test_a_status_comes_as_an_openai_error(status: str) -> None:
    played = fault(status)
    assert played.head.startswith(f"HTTP/1.1 {status} ")
    assert set(json.loads(played.body)["error"]) == {"message", "type", "param", "code"}


def test_the_429_says_when_to_retry_and_what_was_left() -> None:
    head = fault("429").head
    assert "Retry-After: 7" in head and "x-ratelimit-remaining-requests: 0" in head


def test_a_redirect_names_another_host() -> None:
    assert fault("redirect").head.startswith("HTTP/1.1 307 ")
    assert "Location: http://elsewhere.invalid/v1/chat/completions" in fault("redirect").head
    assert len(fault("endless-redirect").body) > 65_536


def test_html_and_a_json_error_come_as_a_200() -> None:
    assert "200 OK" in fault("html").head and "text/html" in fault("html").head
    assert "200 OK" in fault("json-error-200").head and "error" in json.loads(fault("json-error-200").body)


@pytest.mark.parametrize("header", [{"authorization": "Bearer canary"}, {"x-api-key": "canary"}])
def test_the_callers_key_is_echoed_where_it_is_asked_for(header: dict[str, str]) -> None:
    streamed, whole = fault("echo-key", headers=header), ask("fault-echo-key", headers=header)
    assert all("canary" in played.head and b"canary" in played.body for played in (streamed, whole))
    assert b"canary" in fault("echo-key-error", headers=header).body
    assert "Location: http://elsewhere.invalid/?key=" in fault("echo-key-redirect", headers=header).head
    assert "canary" in fault("echo-key-redirect", headers=header).head


def test_a_silent_upstream_says_nothing_and_a_stalled_one_stops() -> None:
    assert fault("silent").sends == [] and is_silent(fault("silent"))
    assert len(fault("stall").events) == 3 and is_silent(fault("stall"))


def test_the_knobs_of_a_fault_set_how_much_comes_before_it() -> None:
    assert len(fault("stall-n5").events) == 5
    assert fault("stall-n3-i2000-d5000").pauses == [0.005, 0.002, 0.002, SECONDS_OF_SILENCE]


def test_a_slow_head_and_a_trickle_come_byte_by_byte() -> None:
    slow = fault("slow-head-i9000")
    assert all(len(send) == 1 for send in slow.sends[:90]) and set(slow.pauses[1:90]) == {0.009}
    assert len(fault("trickle").sends[5]) == len(b"1\r\nx\r\n") and fault("trickle").pauses[1] == 0.1
    assert fault("trickle").body.endswith(DONE)


def test_early_hints_stand_before_the_real_head() -> None:
    hints, head = fault("103").sends[:2]
    assert hints.startswith(b"HTTP/1.1 103 ") and head.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("hostile-headers", "X-Accel-Redirect: /etc/passwd"),
        ("huge-header", "h" * 65_536),
        ("many-headers", "x-header-100: 100"),
        ("bad-header", "x-bad: a\x01b\x7f"),
        ("bad-reason", "200 O\x01K\xff"),
        ("two-lengths", "Content-Length: 5"),
        ("length-and-chunked", "Transfer-Encoding: chunked"),
        ("negative-length", "Content-Length: -5"),
        ("odd-length", "Content-Length: +"),
    ],
)
def test_a_bad_head_has_its_bad_line(name: str, line: str) -> None:
    assert line in fault(name).head


def test_garbage_and_http_09_have_no_status_line() -> None:
    assert not fault("garbage").sends[0].startswith(b"HTTP/")
    assert fault("http-09").sends[0].startswith(b"data: ")


@pytest.mark.parametrize("name", ["reset", "eof-mid-chunk", "short-length", "eof-no-done", "eof-delimited", "stall"])
def test_an_answer_cut_short_has_its_words_but_no_finish(name: str) -> None:
    played = fault(name)
    assert played.body.count(b"@t") == 3
    assert FINISH not in played.body and DONE not in played.body


def test_how_the_cut_answers_end() -> None:
    assert fault("reset").end is End.RESET
    assert fault("eof-mid-chunk").end is fault("short-length").end is fault("eof-delimited").end is End.CLOSE
    assert fault("eof-no-done").raw_body.endswith(LAST_CHUNK) and fault("eof-no-done").end is None


def test_an_eof_mid_chunk_is_within_the_chunk() -> None:
    data = fault("eof-mid-chunk").raw_body
    rest = data[data.rindex(b"\r\n") + 2 :]
    assert rest.startswith(b"data: ") and not rest.endswith(b"\n\n")


def test_a_short_length_promises_more_than_it_sends() -> None:
    played = fault("short-length")
    promised = int(played.head.partition("Content-Length: ")[2])
    assert promised > len(played.raw_body) > 0


def test_a_close_delimited_answer_is_whole() -> None:
    assert fault("close-delimited").body.endswith(DONE) and fault("close-delimited").end is End.CLOSE


def test_no_done_after_finish_lacks_only_the_terminal_frame() -> None:
    assert fault("no-done-after-finish").body.count(FINISH) == 1
    assert DONE not in fault("no-done-after-finish").body
    assert b"message_delta" in fault("no-done-after-finish", "/v1/messages").body
    assert b"message_stop" not in fault("no-done-after-finish", "/v1/messages").body


def test_a_late_end_is_complete_but_for_its_last_chunk() -> None:
    assert fault("late-end").body.endswith(DONE) and is_silent(fault("late-end"))
    assert not fault("late-end").raw_body.endswith(LAST_CHUNK)


def test_an_idle_connection_is_dropped_after_a_whole_answer() -> None:
    assert fault("drop-idle").raw_body.endswith(LAST_CHUNK) and fault("drop-idle").end is End.CLOSE


def test_a_split_stream_is_the_same_in_single_bytes() -> None:
    assert fault("split").body.endswith(DONE)
    assert all(len(send) == len(b"1\r\nx\r\n") for send in fault("split").sends[1:-1])


def test_a_chunk_size_without_an_end_has_only_digits() -> None:
    after = fault("endless-chunk-size").raw_body.rpartition(b"\r\n")[2]
    assert len(after) == 1_048_576 and set(after) == set(b"0")


def test_gzip_is_flushed_with_every_frame() -> None:
    played = fault("gzip")
    assert "Content-Encoding: gzip" in played.head
    first = dechunk(played.sends[1])
    assert zlib.decompressobj(wbits=31).decompress(first).endswith(b"\n\n")
    assert zlib.decompress(played.body, wbits=31).endswith(DONE)


def test_a_big_frame_holds_two_mebibytes() -> None:
    assert max(map(len, fault("big-frame").body.split(b"\n\n"))) > 2_097_152


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (CHAT, b'data: {"error":{'),
        ("/v1/messages", b'event: error\ndata: {"type":"error","error":{'),
        ("/v1/responses", b'event: error\ndata: {"type":"error","code":"server_error"'),
    ],
)
def test_an_error_frame_speaks_its_routes_dialect_and_is_the_last(path: str, said: bytes) -> None:
    assert said in fault("error-frame", path).body.strip().rpartition(b"\n\n")[2]


def test_double_done_comes_twice_and_with_more() -> None:
    body = fault("double-done").body
    assert body.count(DONE) == 2 and not body.endswith(DONE)


def test_line_ends_differ() -> None:
    assert fault("crlf").body.endswith(b"data: [DONE]\r\n\r\n") and b"}\n" not in fault("crlf").body
    assert fault("cr").body.endswith(b"data: [DONE]\r\r") and b"\n" not in fault("cr").body


def test_a_bom_stands_first_and_once() -> None:
    assert fault("bom").body.startswith(b"\xef\xbb\xbfdata: ") and fault("bom").body.count(b"\xef\xbb\xbf") == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("comments", b": between frames\n\n: within a frame\ndata: "),
        ("ids", b"id: up-2\ndata: "),
        ("retry", b"retry: soon\ndata: "),
        ("odd-fields", b"lonely\ndata:{"),
        ("invalid-utf8", b": \xff\xfe \xe2\x80\xa8 \xc2\x85\ndata: "),
    ],
)
def test_odd_lines_stand_before_the_data(name: str, line: bytes) -> None:
    assert line in fault(name).body


def test_an_eof_mid_frame_lacks_the_blank_line() -> None:
    body = fault("eof-mid-frame").body
    assert body.endswith(b"data: [DONE]\n") and not body.endswith(b"\n\n")


def test_an_endless_frame_never_sees_a_line_end() -> None:
    sends = fault("endless-frame").sends
    assert sum(map(len, sends)) > 67_108_864 and is_silent(fault("endless-frame"))
