"""The ear on Redis: it hears what is said on its channels, says when it hears again, and notices when it is deaf."""

import math
from collections.abc import Iterator
from threading import Thread

import pytest

from relay.stores import redis_listener
from relay.stores.redis_listener import Deaf, Listener
from tests.live.bench.waiting import until
from tests.stores import slow_proxy
from tests.stores.redis_server import RedisServer

SECONDS_MAX = 5.0


class Heard(Listener):
    """Remembers what it hears."""

    def __init__(self, url: str) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.joined_channels: list[str] = []
        super().__init__(url, lambda channel, what: self.said.append((channel, what)), self.joined_channels.append)


@pytest.fixture
def ear(redis: RedisServer) -> Iterator[Heard]:
    listener = Heard(redis.url)
    yield listener
    listener.close()


def test_it_hears_what_is_said_on_its_channels_byte_for_byte(ear: Heard, redis: RedisServer) -> None:
    ear.join("a")
    assert ear.turn(SECONDS_MAX)
    assert ear.joined_channels == ["a"]
    for channel, what in (("b", b"no"), ("a", bytes(range(256))), ("a", b"")):
        redis.client.publish(channel, what)
    assert ear.turn(SECONDS_MAX)
    assert ear.turn(SECONDS_MAX)
    assert ear.said == [("a", bytes(range(256))), ("a", b"")]


def test_nothing_said_is_nothing_heard(ear: Heard) -> None:
    assert not ear.turn(0.01)


def test_a_channel_is_joined_and_left_while_it_listens(ear: Heard, redis: RedisServer) -> None:
    ear.turn(0)
    ear.join("a")
    ear.join("b")
    ear.leave("a")
    for _ in range(3):
        ear.turn(SECONDS_MAX)
    redis.client.publish("a", b"1")
    redis.client.publish("b", b"2")
    ear.turn(SECONDS_MAX)
    assert ear.said == [("b", b"2")]


def test_it_says_which_channels_it_hears_again(ear: Heard, redis: RedisServer) -> None:
    ear.join("a")
    ear.turn(SECONDS_MAX)
    ear.join("b")
    ear.leave("b")
    ear.turn(SECONDS_MAX)
    redis.client.client_kill_filter(_type="pubsub")
    with pytest.raises(Deaf):
        while True:
            ear.turn(SECONDS_MAX)
    ear.close()
    ear.turn(SECONDS_MAX)
    assert ear.joined_channels == ["a", "b", "a"]
    redis.client.publish("b", b"1")
    redis.client.publish("a", b"2")
    ear.turn(SECONDS_MAX)
    assert ear.said == [("a", b"2")]


def test_without_redis_it_is_deaf_and_joining_does_no_harm(own_redis: RedisServer) -> None:
    ear = Heard(own_redis.url)
    own_redis.kill()
    ear.join("a")
    with pytest.raises(Deaf):
        ear.turn(SECONDS_MAX)
    ear.run()
    own_redis.start()
    ear.turn(SECONDS_MAX)
    assert ear.joined_channels == ["a"]
    ear.close()


def test_a_connection_on_which_nothing_comes_any_more_is_given_up(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_listener, "PING_SECONDS", 0.2)
    with slow_proxy.before(redis.port) as proxy:
        ear = Heard(proxy.url)
        ear.join("a")
        listening = Thread(target=ear.run, daemon=True)
        listening.start()
        until(lambda: ear.joined_channels == ["a"], SECONDS_MAX)
        listening.join(1.0)
        assert listening.is_alive(), "pings are answered"
        proxy.delay_seconds = math.inf
        listening.join(SECONDS_MAX)
        assert not listening.is_alive()


def test_a_mistake_of_who_hears_is_not_taken_for_a_broken_connection(redis: RedisServer) -> None:
    ear = Listener(redis.url, lambda channel, what: None, lambda channel: int("x") and None)
    ear.join("a")
    with pytest.raises(ValueError, match="invalid literal"):
        ear.run()
