"""Does a stream come through frame by frame, unchanged, unbroken, and so that a broken one can be told?"""

from relay.core.diagnosis.arrivals import judge
from relay.core.diagnosis.evidence import Evidence, Finding, Stream


def unbuffered(evidence: Evidence) -> Finding | None:
    """Whether frames come one by one."""
    stream = evidence.stream
    delivery = None if stream is None else judge(stream.frames)
    if delivery is None:
        return None
    heaps = "one heap" if delivery.heaps == 1 else f"{delivery.heaps} heaps"
    times = (
        f"{delivery.frames} frames sent over {delivery.sent_ms / 1000:.1f} s came over {delivery.came_ms / 1000:.1f} s"
    )
    if delivery.is_held_back:
        measured = f"{times} in {heaps}, the first of a heap {delivery.late_ms / 1000:.1f} s late"
        remedy = (
            "proxy_buffering off; proxy_http_version 1.1;   (at each proxy: the first one swallows X-Accel-Buffering)"
        )
        return Finding("buffering", False, "Something on the way collects the frames.", measured, remedy)
    measured = f"{times}, none more than {delivery.late_ms:.0f} ms late"
    return Finding("buffering", True, "Frames come one by one.", measured)


def uncompressed(evidence: Evidence) -> Finding | None:
    """Whether a caller that takes gzip, as browsers do, gets the stream as it is."""
    dressed = evidence.dressed
    if dressed is None or dressed.answer.status != 200:
        return None
    coding = dressed.answer.header("content-encoding")
    if coding:
        says = "Something on the way compresses the stream, and may hold frames until it has enough."
        remedy = "gzip off;   (or take text/event-stream out of gzip_types)"
        return Finding("gzip", False, says, f"Content-Encoding: {coding}", remedy)
    return Finding("gzip", True, "The stream is not compressed.", "asked with Accept-Encoding: gzip")


def inner_protocol(evidence: Evidence) -> Finding | None:
    """Whether the relay is spoken to in HTTP/1.1: in 1.0 the end of a connection is the end of an answer."""
    arrived = None if evidence.stream is None else evidence.stream.arrived
    if arrived is None:
        return None
    if arrived.protocol == "HTTP/1.0":
        says = "The proxy speaks HTTP/1.0 to the relay: it cannot tell a broken answer from a whole one."
        return Finding("http10_to_relay", False, says, arrived.protocol, "proxy_http_version 1.1;")
    return Finding("http10_to_relay", True, "The relay is asked in HTTP/1.1.", arrived.protocol)


def outer_protocol(evidence: Evidence) -> Finding | None:
    """Whether the caller's answer has chunks, of which the last one says that it is whole."""
    stream = evidence.stream
    if stream is None:
        return None
    answer = stream.answer
    coding, length = answer.header("transfer-encoding"), answer.header("content-length")
    shown = f"HTTP/{answer.version / 10:.1f}, " + (f"Transfer-Encoding: {coding}" if coding else "no Transfer-Encoding")
    shown += f", Content-Length: {length}" if length else ""
    if answer.version >= 11 and "chunked" in coding.lower():
        return Finding("http10_to_caller", True, "Callers are answered in HTTP/1.1 chunks.", shown)
    says = "Callers get the stream without chunks, as in HTTP/1.0: they cannot tell a broken answer from a whole one."
    return Finding(
        "http10_to_caller", False, says, shown, "chunked_transfer_encoding on;   (and HTTP/1.1 at each proxy)"
    )


def whole(evidence: Evidence) -> Finding | None:
    """Whether the paced stream came to its end."""
    stream = evidence.stream
    if stream is None:
        return None
    count = f"{len(stream.frames)} frames"
    if stream.ended:
        return Finding("whole", True, "The stream comes to its end.", count)
    if stream.error:
        return Finding("whole", False, "The relay ended the stream.", f"{stream.error} after {count}", "Try again.")
    failure = stream.answer.failure
    measured = f"{count}, then {failure.detail if failure else 'the end of the connection'}"
    return Finding("whole", False, "The stream breaks off.", measured, "proxy_read_timeout 60s;   (and its error log)")


def kept_alive(evidence: Evidence) -> Finding | None:
    """Whether the longest silence that the relay allows itself survives the way."""
    silent = evidence.silent
    if silent is None or silent.was_refused:
        return None
    before, within, last = silent.quiet_seconds
    if silent.ended and silent.answer.status == 200:
        measured = f"{before:.1f} s before the head, {within:.1f} s between two signs of life"
        return Finding("idle", True, "Silences survive.", measured)
    return _cut(silent, before, last)


def _cut(silent: Stream, before: float, last: float) -> Finding:
    if silent.answer.status == 200:
        seconds, where = last, "in an open stream"
    else:
        seconds, where = before, "before the answer's head"
    says = f"Something on the way cuts what is silent for {seconds:.1f} s."
    remedy = "proxy_read_timeout 60s;   (more than 25 s, the relay's longest silence; heartbeats come every 15 s)"
    return Finding("idle", False, says, f"{silent.answer.shown}: cut after {seconds:.1f} s {where}", remedy)
