"""What assembly makes of the settings that bound a worker: its connections, its memory, the failed attempts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gevent import socket

from config.schema import Auth, Server
from relay import assembly
from relay.assembly import Relay, assemble, reassemble
from relay.core.credentials import Credentials
from relay.core.errors import RelayError
from tests.house import settings_for
from tests.test_assembly import no_reload, wait_until

NOWHERE = "http://127.0.0.1:1/v1"


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Relay]]:
    built: list[Relay] = []

    def build(**sections: Any) -> Relay:
        built.append(assemble(settings_for(NOWHERE, tmp_path, **sections), no_reload))
        return built[-1]

    yield build
    for relay in built:
        relay.stop()


def test_failed_attempts_are_counted_on_across_a_reload_under_the_new_number(
    build: Callable[..., Relay], tmp_path: Path
) -> None:
    relay = build(auth=Auth(failures_per_minute=3))
    wrong = Credentials("Bearer rk_wrong", address="203.0.113.7")
    codes = [code_of(relay, wrong) for _ in range(4)]
    changed = reassemble(relay, settings_for(NOWHERE, tmp_path, auth=Auth(failures_per_minute=5)))
    codes += [code_of(changed, wrong) for _ in range(3)]
    limited, told = "auth_rate_limited", "invalid_api_key"
    assert codes == [told, told, told, limited, told, told, limited]


def code_of(relay: Relay, credentials: Credentials) -> str:
    with pytest.raises(RelayError) as caught:
        relay.authenticator.identify(credentials)
    return caught.value.code


def test_room_is_what_the_settings_say_also_after_a_reload(
    build: Callable[..., Relay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = build(server=Server(connections_per_worker=66, memory_bytes_max=10**12))
    relay.capacity.look()
    relay.capacity.require()
    relay.connections.busy.update(range(3))
    with pytest.raises(RelayError, match="no room"):
        relay.capacity.require()
    relay.connections.busy.clear()
    reassemble(relay, settings_for(NOWHERE, tmp_path, server=Server(memory_bytes_max=1)))
    with pytest.raises(RelayError, match="no room"):
        relay.capacity.require()
    shed: list[str] = []
    monkeypatch.setattr(relay.capacity, "_shed", lambda: shed.append("shed"))
    relay.capacity.look()
    assert shed == ["shed"]


def test_the_started_relay_measures_its_memory(build: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MEASURE_SECONDS", 0.01)
    relay = build()
    relay.start()
    wait_until(lambda: relay.capacity.memory_bytes > 1_000_000)


def test_the_started_relay_makes_room_while_nobody_comes(
    build: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "MEASURE_SECONDS", 0.01)
    relay = build(server=Server(connections_per_worker=65))
    with gevent_pair() as (client, caller):
        relay.connections.idle.update([("busy", 1e18), (client, 0.0)])
        relay.connections.idle.move_to_end(client, last=False)
        relay.start()
        caller.settimeout(2)
        assert caller.recv(1) == b""


@contextmanager
def gevent_pair() -> Iterator[tuple[Any, Any]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far
