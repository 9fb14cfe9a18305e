"""The connection to Redis: replies in order, and an end to every wait."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.stores.redis_wire import Wire, script
from tests.stores.redis_server import RedisServer

SECONDS_MAX = 0.1
A_MOMENT_SECONDS = 0.15


@contextmanager
def answering(*pieces: bytes, pause_seconds: float = 0.0) -> Iterator[str]:
    """The URL of a server that sends these pieces to whoever asks anything, and then nothing more."""

    def answer() -> None:
        connection = listener.accept()[0]
        with connection, suppress(OSError):
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_seconds)
            over.wait(10)

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join(10)


@contextmanager
def connected(url: str, seconds_max: float = SECONDS_MAX) -> Iterator[Wire]:
    wire = Wire(url, seconds_max)
    try:
        wire.connect()
        yield wire
    finally:
        wire.close()


def test_commands_leave_together_and_their_replies_come_in_order(redis: RedisServer) -> None:
    with connected(redis.url) as wire:
        assert wire.converse([("ECHO", number) for number in range(500)]) == [b"%d" % n for n in range(500)]


def test_a_path_is_a_server_too(redis: RedisServer) -> None:
    with connected(redis.socket_url) as wire:
        assert wire.converse([("ECHO", "x")]) == [b"x"]


def test_a_command_that_is_refused_raises(redis: RedisServer) -> None:
    with connected(redis.url) as wire, pytest.raises(ResponseError):
        wire.converse([("ECHO", "x"), ("NONSENSE",), ("ECHO", "y")])


def test_a_wrong_password_raises(redis: RedisServer) -> None:
    with pytest.raises(AuthenticationError), connected(redis.url.replace("//", "//:canary@")):
        pass


@pytest.mark.parametrize("pieces", [[], [b"$1"], [b"$1\r\nx"], [b"+OK\r\n"]], ids=["none", "part", "cut", "one of two"])
def test_silence_ends_with_the_budget(pieces: list[bytes]) -> None:
    with answering(*pieces) as url, connected(url) as wire:
        begun = time.monotonic()
        with pytest.raises((TimeoutError, RedisTimeoutError)):
            wire.converse([("PING",), ("PING",)])
        assert time.monotonic() - begun < 2 * SECONDS_MAX + A_MOMENT_SECONDS


def test_the_budget_is_for_all_replies_together() -> None:
    with answering(*[b"+OK\r\n"] * 10, pause_seconds=SECONDS_MAX / 2) as url, connected(url) as wire:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            wire.converse([("PING",)] * 10)
        assert time.monotonic() - begun < SECONDS_MAX + A_MOMENT_SECONDS


def test_the_url_cannot_raise_the_budget() -> None:
    with answering() as url, connected(f"{url}?socket_timeout=5&socket_connect_timeout=9") as wire:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            wire.converse([("PING",)])
        assert time.monotonic() - begun < SECONDS_MAX + A_MOMENT_SECONDS


def test_an_answer_that_was_there_in_time_is_read_late(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an event loop's long turn: the clock says that the time is over, and the answer waits in the socket."""
    with connected(redis.url) as wire:
        look = wire._connection.can_read

        def too_late(timeout: float) -> bool:
            if timeout == 0:
                return look(timeout)
            time.sleep(SECONDS_MAX)
            return False

        monkeypatch.setattr(wire._connection, "can_read", too_late)
        assert wire.converse([("ECHO", "x")]) == [b"x"]


def test_a_server_that_hangs_up_raises(own_redis: RedisServer) -> None:
    with connected(own_redis.url) as wire:
        own_redis.kill()
        with pytest.raises(RedisError):
            wire.converse([("PING",)])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n", b"*9\r\n?\r\n", b"-\xff\r\n"])
def test_what_is_no_redis_raises(answer: bytes) -> None:
    with answering(answer) as url, connected(url) as wire, pytest.raises((RedisError, ValueError)):
        wire.converse([("PING",)])


@pytest.mark.parametrize("name", ["take_slot", "renew_slots", "announce_slots", "count_slots", "hit_rate"])
def test_every_script_is_lua_that_redis_takes(name: str, redis: RedisServer) -> None:
    with connected(redis.url) as wire:
        [digest] = wire.converse([("SCRIPT", "LOAD", script(name))])
    assert len(digest) == 40
