"""Which flow an answer's body takes: by what the upstream sent, and whether the stream is kept."""

from typing import Any

from relay.core.flow import Flow
from relay.core.head import is_event_stream
from relay.core.numbered_flow import CountedFlow, NumberedFlow
from relay.core.plain_flow import PlainFlow, WrappedFlow
from relay.core.scrub import Scrubber
from relay.core.sse_flow import SseFlow, nothing_hidden
from relay.core.usage import is_usage_only


def flow_for(request: Any, upstream: Any, frame_bytes_max: int) -> Flow:
    """Return what the answer's body means."""
    scrubber = Scrubber(upstream.target.api_key)
    if is_event_stream(upstream.content_type):
        hidden = is_usage_only if request.hides_usage else nothing_hidden
        if request.stream_id:
            return NumberedFlow(request.stream_id, request.route.dialect, scrubber, frame_bytes_max, hidden)
        return SseFlow(request.route.dialect, scrubber, frame_bytes_max, hidden)
    collected = bytearray() if "json" in upstream.content_type else None
    if request.stream_id:
        return CountedFlow(scrubber, collected)
    if request.presence.wire is not None:
        return WrappedFlow(request.route.dialect, scrubber, upstream.status)
    return PlainFlow(scrubber, collected)
