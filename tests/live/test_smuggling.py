"""A6 to A8, A10, A16, B1 to B3, B9, B10, B12 to B14, B18: thousands of hostile requests, direct and through nginx.

Whatever is sent: no 5xx, nothing upstream that was smuggled, and the next request gets its own answer.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.bench import attacks_on_framing, attacks_on_heads, attacks_on_manners, leaks
from tests.live.bench.attack import CHAT, MODELS, SMUGGLED, UPLOAD, Attack, complaints, echo, fire, good_answer
from tests.live.bench.caller import RawCaller
from tests.live.bench.pooled_nginx import PooledNginx
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.scripts import every_request
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.cases import Owed, nothing_left
from tests.live.pairs import LIMITS

GROUPS: dict[str, Callable[[str], Iterator[Attack]]] = {
    "A6 A7 A8 A10 credentials": attacks_on_manners.credentials,
    "A16 underscores": attacks_on_manners.twins,
    "B1 lengths": attacks_on_framing.framing,
    "B2 chunks": attacks_on_framing.chunking,
    "B3 characters": attacks_on_heads.characters,
    "B9 paths": attacks_on_heads.paths,
    "B10 hosts": attacks_on_heads.hosts,
    "B12 methods": attacks_on_heads.methods,
    "B13 expectations": attacks_on_manners.expectations,
    "B14 trailers": attacks_on_framing.trailers,
    "B18 upgrades": attacks_on_manners.upgrades,
}
NAMED = b"X-Request-Id: " + SMUGGLED
EVERY = [2, pytest.param(1, marks=pytest.mark.soak)]
ATTACKS_MIN = 1_000
SHOWN_MAX = 15
# What nginx takes for a request gets a name from it: one with the smuggled name was a request to the relay alone.
OWN_NAMES = 'proxy_set_header X-Request-Id "nginx-$request_id";'


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With room for many failing attempts from one address, and no patience for a body."""
    environ = {**LIMITS, "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000", "RELAY_SERVER__BODY_SECONDS_MAX": "2"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        owed.requests = None  # what gunicorn refuses is no request
        upstream.answer(every_request(echo))
        yield owed
        time.sleep(3 * leaks.LOG_LAG_SECONDS)  # nobody knows how many lines there will be: all must have been written


@pytest.fixture
def nginx(relay: RelayProcess, owed: Owed, tmp_path: Path) -> Iterator[PooledNginx]:
    """For one test: its connection to the relay must be gone before `owed` looks."""
    nginx = PooledNginx(relay.port, tmp_path, OWN_NAMES)
    try:
        yield nginx.wait_ready()
    finally:
        nginx.stop()


@pytest.fixture
def attacks(key: str, group: str, every: int) -> Iterator[Attack]:
    return some(group, key, every)


def some(group: str, key: str, every: int) -> Iterator[Attack]:
    """One of `every` attacks of a group, always the same ones, of all kinds."""
    return (attack for attack in GROUPS[group](key) if zlib.crc32(attack.name.encode()) % every == 0)


def found(attacks: Iterator[Attack], port: int, key: str, upstream: ScriptedUpstream, direct: bool) -> Iterator[str]:
    """Fire them one by one, each followed by a good request on a new connection; yield what was wrong."""
    for number, attack in enumerate(attacks):
        upstream.record.clear()
        outcome = fire(port, key, attack, f"same-connection-{number}", direct=direct)
        with RawCaller(port, key=key) as caller:
            astray = good_answer(caller, f"new-connection-{number}")
        said = [*complaints(attack, outcome, direct), *went_upstream(upstream, SMUGGLED if direct else NAMED)]
        if astray:
            said.append(f"the next request, on a new connection: {astray}")
        for complaint in said:
            yield f"{attack.name}: {complaint}; sent {attack.raw[:300]!r}, got {outcome.said[:300]!r}"


def went_upstream(upstream: ScriptedUpstream, smuggled: bytes) -> Iterator[str]:
    """What of a hostile request reached the upstream."""
    if smuggled in upstream.record.received:
        yield f"smuggled: {bytes(upstream.record.received[:500])!r}"
    own = f"127.0.0.1:{upstream.port}"
    for sent in upstream.requests:
        if sent.path not in (CHAT, MODELS, UPLOAD) or sent.header("host") != own:
            yield f"the upstream was asked for {sent.path} at {sent.header('host')}"


def assert_none(complaints: list[str]) -> None:
    assert not complaints, f"{len(complaints)} complaints:\n" + "\n".join(complaints[:SHOWN_MAX])


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("group", GROUPS)
def test_a_hostile_request_is_refused_and_its_connection_closed(
    relay: RelayProcess, upstream: ScriptedUpstream, key: str, attacks: Iterator[Attack]
) -> None:
    seen = len(relay.log_lines())
    assert_none([*found(attacks, relay.port, key, upstream, direct=True)])
    assert SMUGGLED.decode() not in [line["request_id"] for line in relay.log_lines()[seen:]]


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("group", GROUPS)
def test_a_hostile_request_through_nginx_makes_nobody_read_another_one(
    relay: RelayProcess, upstream: ScriptedUpstream, nginx: PooledNginx, key: str, attacks: Iterator[Attack]
) -> None:
    seen = len(relay.log_lines())
    assert_none([*found(attacks, nginx.port, key, upstream, direct=False)])
    assert SMUGGLED.decode() not in [line["request_id"] for line in relay.log_lines()[seen:]]


def test_there_are_as_many_as_were_promised(key: str) -> None:
    names = [(group, attack.name) for group in GROUPS for attack in some(group, key, 2)]
    assert len(names) == len(set(names)) >= ATTACKS_MIN
    assert len([attack for group in GROUPS for attack in some(group, key, 1)]) >= 2_000
