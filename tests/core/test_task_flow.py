"""An upstream's answer as progress: every split of it, every way it may end."""

import json
from collections.abc import Mapping

import pytest

from relay.core.dialects import OPENAI
from relay.core.placed_task import messages_in
from relay.core.plain_flow import WrappedFlow
from relay.core.progress import Progress
from relay.core.scrub import Scrubber
from relay.core.sse import data_of, frames_in
from relay.core.sse_flow import SseFlow
from relay.core.task_flow import TaskFlow, Telling
from relay.core.usage import Usage
from tests.live.bench.scripts import DONE, chat_completion, chat_frame, data_frame, usage_frame

STREAM_ID, SECRET = "rs_" + "a" * 22, "sk-canary-3kQ"
STARS = "*" * len(SECRET)
WHOLE = chat_frame("Grü") + chat_frame("ße 😀") + chat_frame("", "stop") + usage_frame(3, 5) + DONE
CUT = WHOLE[: -len(DONE)].replace(chat_frame("", "stop"), b"")


class Clock:
    """Goes on by a second each time that it is read."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def telling(messages: Mapping[str, str] | None = None) -> Telling:
    return Telling(
        "m", 100.0, Clock(), lambda: "2026-01-01T00:00:00Z", lambda usage: usage.output_tokens / 10, messages or {}
    )


def flow(code_points_max: int = 1_000, language: str = "en", inner: SseFlow | WrappedFlow | None = None) -> TaskFlow:
    inner = inner or SseFlow(OPENAI, Scrubber(SECRET), 65_536)
    return TaskFlow(
        inner, Scrubber(SECRET), Progress(STREAM_ID, "task", "en"), telling(messages_in(language)), code_points_max
    )


def events(frames: bytes) -> list[tuple[str, dict[str, object]]]:
    told = []
    for number, frame in enumerate(frames_in(frames), 1):
        id_, name, _ = frame.decode().split("\n", 2)
        assert id_ == f"id: {STREAM_ID}:{number}"
        told.append((name.removeprefix("event: "), json.loads(data_of(frame))))
    return told


def test_each_delta_is_a_progress_event_and_the_end_tells_all() -> None:
    one = flow()
    out = one.feed(WHOLE)
    ending = one.verdict(body_ended=False)
    assert (ending.end, ending.whole, one.usage, one.terminal) == ("done", True, Usage(3, 5), DONE)
    assert events(out + ending.last) == [
        ("progress", {"chunk": "Grü", "progress": 50, "total_length": 3}),
        ("progress", {"chunk": "ße 😀", "progress": 50, "total_length": 7}),
        (
            "complete",
            {
                "response": "Grüße 😀",
                "progress": 100,
                "completed_at": "2026-01-01T00:00:00Z",
                "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
                "cost_usd": 0.5,
                "model": "m",
                "duration_ms": 2000.0,
                "ttft_ms": 1000.0,
            },
        ),
    ]


def test_wherever_the_upstreams_bytes_are_split_the_events_are_the_same() -> None:
    whole = flow()
    expected = events(whole.feed(WHOLE) + whole.verdict(body_ended=True).last)
    for cut in range(len(WHOLE)):
        one = flow()
        out = one.feed(WHOLE[:cut]) + one.feed(WHOLE[cut:])
        assert events(out + one.verdict(body_ended=True).last) == expected


def test_the_last_number_is_that_of_the_last_event() -> None:
    one = flow()
    one.feed(chat_frame("a") + chat_frame("b"))
    assert one.last_seq == 2
    one.broken("cancelled", "cancelled")
    assert one.last_seq == 3


@pytest.mark.parametrize(
    ("body_ended", "end", "code"),
    [(True, "upstream_eof", "upstream_incomplete"), (False, "truncated", "upstream_incomplete")],
)
def test_an_answer_that_is_not_whole_has_failed(body_ended: bool, end: str, code: str) -> None:
    one = flow()
    out = one.feed(CUT)
    ending = one.verdict(body_ended=body_ended)
    told = events(out + ending.last)
    assert (ending.end, ending.whole) == (end, False)
    assert [name for name, _ in told] == ["progress", "progress", "failed"]
    assert told[-1][1]["error"] == {
        "message": "The upstream ended before its answer was complete.",
        "type": "stream_error",
        "param": None,
        "code": code,
    }


def test_what_ends_it_first_is_what_is_told_and_only_once() -> None:
    one = flow()
    first = one.broken("cancelled", "cancelled")
    assert one.broken("drained", "relay_draining") is one.verdict(body_ended=True) is first
    assert first.last.count(b"event: ") == 1


def test_the_upstreams_own_error_is_passed_on_without_its_key() -> None:
    one = flow()
    out = one.feed(chat_frame("a") + data_frame({"error": {"message": f"no {SECRET}", "type": "t", "code": "c"}}))
    ending = one.verdict(body_ended=True)
    assert events(out + ending.last)[-1] == (
        "failed",
        {"error": {"message": f"no {STARS}", "type": "t", "param": None, "code": "c"}, "stage": "failed"},
    )


@pytest.mark.parametrize(
    "frames",
    [
        chat_frame(SECRET),
        chat_frame(SECRET[:5]) + chat_frame(SECRET[5:]),
        chat_frame("@").replace(b"@", b"\\u0073k-canary-3kQ"),
    ],
    ids=["at once", "in two deltas", "escaped"],
)
def test_the_upstreams_key_is_in_no_text(frames: bytes) -> None:
    one = flow()
    out = one.feed(frames + chat_frame("", "stop") + DONE) + one.verdict(body_ended=True).last
    assert SECRET not in str(events(out))
    assert events(out)[-1][1]["response"] == STARS


def test_an_answer_that_speaks_of_errors_is_no_error() -> None:
    one = flow()
    out = one.feed(chat_frame('an "error" and {"error": 1}') + chat_frame("", "stop") + DONE)
    assert [name for name, _ in events(out + one.verdict(body_ended=True).last)] == ["progress", "complete"]


def test_errors_speak_the_callers_language() -> None:
    told = events(flow(language="de").broken("cancelled", "cancelled").last)
    assert told[0][1]["error"]["message"] == "Abgebrochen"  # type: ignore[index]


def test_a_json_answer_is_told_as_one_chunk() -> None:
    one = flow(inner=WrappedFlow(OPENAI, Scrubber(SECRET), 200))
    out = one.feed(json.dumps(chat_completion("Hello")).encode())
    ending = one.verdict(body_ended=True)
    assert one.ends_with_its_body
    assert [name for name, _ in events(out + ending.last)] == ["progress", "complete"]
    assert events(ending.last)[1][1]["response"] == "Hello"


def test_a_refusal_of_the_upstream_is_a_failure_with_its_words() -> None:
    one = flow(inner=WrappedFlow(OPENAI, Scrubber(SECRET), 429))
    one.feed(b'{"error":{"message":"slow down","type":"r","code":"rate_limited"}}')
    told = events(one.verdict(body_ended=True).last)
    assert told[0][0] == "failed"
    assert told[0][1]["error"]["message"] == "slow down"  # type: ignore[index]


def test_what_cannot_be_read_is_skipped() -> None:
    one = flow()
    out = one.feed(b'data: {"choices":[{"delta"\n\n: ping\n\nevent: x\ndata: 1\n\n' + chat_frame("a"))
    assert events(out) == [("progress", {"chunk": "a", "progress": 50, "total_length": 1})]


def test_a_text_past_its_bound_has_grown_too_large() -> None:
    one = flow(code_points_max=3)
    one.feed(chat_frame("abc"))
    assert not one.overflowed
    one.feed(chat_frame("d"))
    assert one.overflowed


def test_an_empty_answer_is_complete_too() -> None:
    one = flow()
    one.feed(chat_frame("", "stop") + DONE)
    last = events(one.verdict(body_ended=True).last)[0][1]
    assert (last["response"], last["ttft_ms"], last["usage"], last["cost_usd"]) == ("", None, None, None)
