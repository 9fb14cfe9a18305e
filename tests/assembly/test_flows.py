"""Which flow an answer's body takes where its stream is kept; where it is not: test_assembly.py."""

from types import SimpleNamespace

import pytest

from relay.assembly.flows import flow_for
from relay.core.flow import Flow
from relay.core.numbered_flow import CountedFlow, NumberedFlow
from relay.core.plain_flow import PlainFlow
from relay.core.routes import CHAT
from relay.core.sse_flow import SseFlow
from relay.core.usage import Usage

STREAM = "rs_0123456789012345678901"
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'


def flow_of(media_type: str, stream_id: str = STREAM, hides_usage: bool = False) -> Flow:
    presence = SimpleNamespace(wire=None)
    request = SimpleNamespace(route=CHAT, presence=presence, hides_usage=hides_usage, stream_id=stream_id)
    upstream = SimpleNamespace(
        content_type=media_type, status=200, target=SimpleNamespace(api_key="sk-canary-0123456789")
    )
    return flow_for(request, upstream, 1000)


@pytest.mark.parametrize(
    ("media_type", "stream_id", "kind"),
    [
        ("text/event-stream", STREAM, NumberedFlow),
        ("text/event-stream", "", SseFlow),
        ("application/json", STREAM, CountedFlow),
        ("application/json", "", PlainFlow),
        ("audio/mpeg", STREAM, CountedFlow),
    ],
)
def test_what_is_kept_is_numbered_and_nothing_else(media_type: str, stream_id: str, kind: type[Flow]) -> None:
    assert type(flow_of(media_type, stream_id)) is kind


def test_frames_carry_their_streams_name() -> None:
    assert flow_of("text/event-stream").feed(b"data: 1\n\n") == f"id: {STREAM}:1\ndata: 1\n\n".encode()


@pytest.mark.parametrize("hides", [True, False])
def test_usage_that_the_caller_did_not_ask_for_takes_no_number(hides: bool) -> None:
    flow = flow_of("text/event-stream", hides_usage=hides)
    assert (flow.feed(USAGE) == b"", flow.usage) == (hides, Usage(1, 2))


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/json"])
def test_a_kept_answer_hides_the_upstreams_key(media_type: str) -> None:
    flow = flow_of(media_type)
    said = flow.feed(b'data: "sk-canary-0123456789 echo"\n\n') + flow.verdict(body_ended=True).last
    assert (b"echo" in said, b"canary" in said) == (True, False)


def test_the_usage_of_a_kept_json_answer_is_read() -> None:
    flow = flow_of("application/json; charset=utf-8")
    flow.feed(USAGE.removeprefix(b"data: "))
    flow.verdict(body_ended=True)
    assert flow.usage == Usage(1, 2)


def test_a_kept_frame_may_be_as_long_as_any_other() -> None:
    flow = flow_of("text/event-stream")
    flow.feed(b"data: " + b"x" * 2000)
    assert flow.overflowed
