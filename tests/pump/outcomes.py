"""What a cut looks like from outside, and a flow that fails."""

import json
from typing import Any

from relay.core.dialects import OPENAI
from relay.core.scrub import Scrubber
from relay.core.sse import PING
from relay.core.sse_flow import SseFlow
from tests.pump.partners import Caller
from tests.pump.stage import FRAME_BYTES_MAX, Stage


def assert_cut(stage: Stage, caller: Caller, end: str, code: str, before: bytes = b"") -> None:
    """The caller got `before`, the error frame, and no last chunk; the exchange was closed once, with this end."""
    caller.to_the_end()
    body = caller.body.replace(PING, b"")
    assert body.startswith(before + b'data: {"error"')
    assert body.count(b"\n\n") == before.count(b"\n\n") + 1
    assert (told(body), stage.end, caller.is_whole) == (code, end, False)
    assert stage.closed == 1


def told(body: bytes) -> str:
    """The code of the error frame that a body ends with."""
    last = body.split(b"\n\n")[-2]
    return str(json.loads(last.removeprefix(b"data: "))["error"]["code"])


class FailingFlow(SseFlow):
    """Fails at a payload with `fail` in it, and in the heartbeat once `ping_fails`."""

    __slots__ = ("ping_fails",)

    def feed(self, payload: bytes) -> bytes:
        if b"fail" in payload:
            raise RuntimeError("feed")
        return super().feed(payload)

    @property
    def ping(self) -> bytes:
        if self.ping_fails:
            raise RuntimeError("ping")
        return PING


def failing_flow(upstream: Any, presence: Any) -> FailingFlow:
    """In place of stage.flow_for."""
    flow = FailingFlow(OPENAI, Scrubber(""), FRAME_BYTES_MAX)
    flow.ping_fails = False
    return flow
