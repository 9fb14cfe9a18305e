"""The application over a scripted upstream, asked through Flask's client."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from config.schema import Section
from tests.house import House, log_lines, settings_for
from tests.live.bench.upstream import ScriptedUpstream


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
        built.append(House(settings_for(upstream.base_url, tmp_path, **sections)))
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
def logged(house: House, capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The log lines of the requests so far."""
    printed = ""

    def logged() -> list[dict[str, Any]]:
        nonlocal printed
        house.relay.log.flush(2.0)
        printed += capfd.readouterr().out
        return log_lines(printed)

    return logged
