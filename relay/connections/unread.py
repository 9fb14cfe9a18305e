"""A request's body that nobody read: a connection closed over it is reset, and the reset overtakes the answer.

Stands on gunicorn 27.0.1's `Body.reader` (`LengthReader.length`, `ChunkedReader.parser`) and on the response that
`start_response` is bound to; each has a contract test.
"""

from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR
from typing import Any

import gevent
from gunicorn.http.body import ChunkedReader, LengthReader

# A connection is worth reading this much away for; beyond it the answer says that the connection ends.
KEPT_BYTES_MAX = 65_536
# What a caller may still send to a connection that ends, and for how long. nginx: 30 s, of which 5 s in silence.
LINGER_BYTES_MAX = 67_108_864
LINGER_SECONDS_MAX = 30.0
SILENT_SECONDS_MAX = 5.0
_READ_BYTES = 65_536


def unread_bytes(body: Any) -> float:
    """How much of a request's body may still come; infinite for one that does not say."""
    reader = getattr(body, "reader", None)
    if isinstance(reader, LengthReader):
        return float(reader.length)
    return float("inf") if isinstance(reader, ChunkedReader) and reader.parser else 0.0


def end_where_unread(body: Any, start_response: Callable[..., Any], kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
    """Have the answer's head say that its connection ends, where more than that of the request is on its way."""
    response = getattr(start_response, "__self__", None)
    if response is not None and unread_bytes(body) > kept_bytes_max:
        response.force_close()


def read_away(body: Any, client: Any, is_over: bool) -> bool:
    """After the answer: read what is left of its request where the connection ends, and return whether it did.

    What is left on a kept connection, `KEPT_BYTES_MAX` at most, gunicorn reads before the next request.
    """
    left = unread_bytes(body)
    if not left or not (is_over or left > KEPT_BYTES_MAX):
        return False
    _read_on(client, body.read)
    return True


def read_away_until_closed(client: Any) -> None:
    """Where nothing tells how much will come: whatever does."""
    _read_on(client, client.recv)


def _read_on(client: Any, read: Callable[[int], bytes]) -> None:
    left = LINGER_BYTES_MAX
    with suppress(Exception), gevent.Timeout(LINGER_SECONDS_MAX, TimeoutError):
        client.settimeout(SILENT_SECONDS_MAX)
        client.shutdown(SHUT_WR)
        while left > 0 and (data := read(_READ_BYTES)):
            left -= len(data)
