"""`Server-Timing` (W3C Server Timing): where a request's time went until its answer's head, as far as was measured."""

from relay.accounting import Record


def server_timing(record: Record, now: float) -> str:
    """Return the header's value, in milliseconds, for an answer whose head goes out `now` (monotonic seconds).

    `connect` is missing where a connection was at hand; a refusal names what it came through.
    """
    spent = {"auth": record.known_at - record.begun_at}
    if record.sent_at:
        spent["admit"] = record.sent_at - record.received_at
    if record.connect_seconds is not None:
        spent["connect"] = record.connect_seconds
    if record.answered_at:
        spent["upstream"] = record.answered_at - record.sent_at - (record.connect_seconds or 0.0)
        spent["overhead"] = record.overhead_until(now)
    return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in spent.items())
