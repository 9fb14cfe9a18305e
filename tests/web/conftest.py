"""The application over a scripted upstream, asked through Flask's client."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from config.schema import Section
from tests.house import House, settings_for
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.served import Served


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream().start()
    yield scripted
    scripted.stop()
    scripted.check()


@pytest.fixture
def build(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """build(server=Server(path_prefix="/sse")): a relay with these sections instead of the defaults."""
    built: list[House] = []

    def build(**sections: Section) -> House:
        settings = settings_for(upstream.base_url, tmp_path, **sections)
        built.append(House(settings, tmp_path / f"log-{len(built)}"))
        return built[-1]

    yield build
    for house in built:
        house.stop()


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    return build()


@pytest.fixture
def caller(house: House) -> FlaskClient:
    return house.caller()


@pytest.fixture
def served(house: House) -> Iterator[Served]:
    one = Served(house.app)
    yield one
    one.close()
