"""A request's body that says when all of it was handed to the upstream's socket."""

from collections.abc import Callable


class SentBody:
    """A reader; `on_sent` is called once, when what was read before has been sent and nothing is left."""

    def __init__(self, body: bytes, on_sent: Callable[[], None]) -> None:
        self._body, self._on_sent = body, on_sent
        self._position, self._is_sent = 0, False

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self._body[self._position : self._position + size]
        self._position += len(data)
        if not data and not self._is_sent:
            self._is_sent = True
            self._on_sent()
        return data
