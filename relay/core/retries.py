"""When a request may be sent to an upstream once more: only where nothing of it can have been processed."""

from collections.abc import Iterator

CONNECT_ATTEMPTS_MAX = 3
CONNECT_DELAY_SECONDS = 0.05


def connect_delays() -> Iterator[float]:
    """Seconds to wait before each further attempt to connect; then no more.

    Together they stay far below the connect deadline.
    """
    for attempt in range(CONNECT_ATTEMPTS_MAX - 1):
        yield CONNECT_DELAY_SECONDS * 2**attempt
