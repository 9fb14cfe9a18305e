"""A connection to Redis with a time budget: what is used of redis-py, with types."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from redis.connection import Connection, parse_url

# Only the background waits for a connection, and a TLS handshake over a distance takes a while.
CONNECT_SECONDS_MAX = 1.0

Command = Sequence[bytes | str | int | float]


class Wire:
    """One connection; after any exception there is nothing left to do with it but `close()`."""

    def __init__(self, url: str, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._connection = _connector(url, seconds_max)()

    def connect(self) -> None:
        """Open it. Raises RedisError, OSError."""
        self._connection.connect()

    def converse(self, commands: Sequence[Command]) -> list[Any]:
        """Send all commands at once and return their replies. Raises TimeoutError, RedisError (also where Redis refuses
        a command), OSError, and ValueError where it is no Redis that answers.
        """
        self.send(*commands)
        deadline = time.monotonic() + self._seconds_max
        return [self._reply(deadline) for _ in commands]

    def send(self, *commands: Command) -> None:
        """Send commands, whose replies `receive` returns one by one. Raises as `converse`."""
        self._connection.send_packed_command(self._connection.pack_commands(commands))

    def receive(self, seconds_max: float) -> Any:
        """Return what Redis says next, or None where it says nothing in that time. Raises as `converse`."""
        return self._connection.read_response() if self._connection.can_read(seconds_max) else None

    def close(self) -> None:
        """Give the connection up."""
        self._connection.disconnect()

    def _reply(self, deadline: float) -> Any:
        seconds_left = max(0.0, deadline - time.monotonic())
        # the second look is for a loop that was busy meanwhile: the answer is there, and only we were late
        if not self._connection.can_read(seconds_left) and not self._connection.can_read(0):
            raise TimeoutError
        return self._connection.read_response()


class _Connection(Protocol):
    def connect(self) -> None: ...

    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...

    def send_packed_command(self, command: list[bytes]) -> None: ...

    def can_read(self, timeout: float) -> bool: ...

    def read_response(self) -> Any: ...

    def disconnect(self) -> None: ...


def _connector(url: str, seconds_max: float) -> Callable[[], _Connection]:
    parse: Callable[[str], dict[str, Any]] = parse_url
    options = parse(url) | {
        "socket_timeout": seconds_max,
        "socket_connect_timeout": CONNECT_SECONDS_MAX,
        "driver_info": None,  # would be two more round trips at each connect
    }
    return partial(options.pop("connection_class", Connection), **options)


def script(name: str) -> bytes:
    """Return the text of lua/NAME.lua. It is sent with every call: a Redis that was restarted knows no script."""
    return (Path(__file__).parent / "lua" / f"{name}.lua").read_bytes()
