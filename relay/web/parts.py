"""A multipart body on its way through: never kept whole, but counted, and timed as a whole."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from gunicorn.http.errors import ParseException

from relay.core.errors import RelayError


class Stream(Protocol):
    """The server's stream of the body."""

    def read(self, size: int = -1, /) -> bytes: ...


class Parts:
    """A reader that fails where the body is too large or too slow. `deadline(spent_seconds)`: the time that is left."""

    def __init__(
        self, stream: Stream, bytes_max: int, deadline: Callable[[float], AbstractContextManager[Any]]
    ) -> None:
        self._stream, self._bytes_left, self._deadline = stream, bytes_max, deadline
        self._begun_at = time.monotonic()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes. Raises RelayError body_too_large, invalid_request, request_timeout."""
        try:
            with self._deadline(time.monotonic() - self._begun_at):
                data = self._stream.read(size)
        except (OSError, ParseException):
            raise broken() from None
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise too_large()
        return data


def broken() -> RelayError:
    return RelayError("invalid_request", "The request body ended early, or its chunks are malformed.")


def too_large() -> RelayError:
    return RelayError("body_too_large", "The request body is larger than is allowed.")
