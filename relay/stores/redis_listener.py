"""This process' ear on Redis: one connection that is told what is published on the channels that were joined.

What was published while it was down is lost: who joined is told of each (re)connection, and asks for what it missed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import RedisError

from relay.stores.redis_wire import Wire

# A connection on which nothing comes, not even the answer to a ping, is given up after twice that.
PING_SECONDS = 2.0
# One that ended is made anew after a pause.
RECONNECT_SECONDS = 0.5

_BROKEN = (RedisError, OSError, ValueError)


class Deaf(Exception):
    """The connection broke, or could not be made."""


class Listener:
    """`hear`: called with a channel and what was said there; `joined`: with a channel from which all is heard now."""

    def __init__(self, url: str, hear: Callable[[str, bytes], None], joined: Callable[[str], None]) -> None:
        self._url, self._hear, self._joined = url, hear, joined
        self._channels: set[str] = set()
        self._wire: Wire | None = None
        self._is_asked = False

    def join(self, channel: str) -> None:
        """Listen to it from now on, whether connected or not. Never waits for the answer."""
        self._channels.add(channel)
        self._say("SUBSCRIBE", channel)

    def leave(self, channel: str) -> None:
        """Listen to it no more."""
        self._channels.discard(channel)
        self._say("UNSUBSCRIBE", channel)

    def run(self) -> None:
        """Listen until the connection breaks; to be called again after a pause."""
        try:
            with suppress(Deaf):
                while True:
                    if not self.turn(PING_SECONDS):
                        self._ask_for_a_sign()
        finally:
            self.close()

    def turn(self, seconds_max: float) -> bool:
        """Hear one thing, if one is said in that time; return whether. Raises Deaf."""
        with _deaf_where_broken():
            wire = self._wire if self._wire is not None else self._connect()
            said = wire.receive(seconds_max)
        if said is None:
            return False
        self._is_asked = False
        self._take(said)
        return True

    def close(self) -> None:
        """Give the connection up; the channels stay joined."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _ask_for_a_sign(self) -> None:
        """A connection that broke without a word is not told from a quiet one."""
        if self._is_asked:
            raise Deaf
        self._is_asked = True
        self._say("PING")

    def _connect(self) -> Wire:
        wire = Wire(self._url, PING_SECONDS)
        wire.connect()
        self._wire, self._is_asked = wire, False
        if self._channels:
            wire.send(("SUBSCRIBE", *self._channels))
        return wire

    def _take(self, said: Any) -> None:
        kind, channel, what = said if len(said) == 3 else (b"pong", b"", b"")
        if kind == b"message":
            self._hear(channel.decode(), what)
        elif kind == b"subscribe":
            self._joined(channel.decode())

    def _say(self, *words: str) -> None:
        if self._wire is not None:
            with suppress(*_BROKEN):  # who listens notices by itself
                self._wire.send(words)


@contextmanager
def _deaf_where_broken() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise Deaf from error
