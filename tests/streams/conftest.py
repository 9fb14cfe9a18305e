"""A scene for each test; in the end nothing is in the making any more."""

from collections.abc import Iterator

import gevent
import pytest

from tests.streams.scene import Scene, until


@pytest.fixture
def scene() -> Iterator[Scene]:
    with gevent.Timeout(20):
        made = Scene()
        yield made
        for stream in made.pump.streams:
            stream.cut("drained", "relay_draining")
        until(lambda: not made.streams.producing)
        assert made.pump.waiting == set()
