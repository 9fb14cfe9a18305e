"""The bench against itself: greenlets that are alive are counted, those that ended are not."""

import sys
from pathlib import Path

import pytest

from tests.live.bench.counted_greenlets import Greenlets
from tests.live.bench.program import Program
from tests.live.conftest import Running

SLEEPERS = """
import gevent
for seconds in [60] * {alive} + [0] * 5:
    gevent.spawn(gevent.sleep, seconds)
gevent.sleep(0.1)
gevent.get_hub().threadpool.apply(gevent.sleep, (0,))  # the greenlets of another thread are not counted
print("up", flush=True)
gevent.sleep(60)
"""


@pytest.mark.parametrize("alive", [0, 7])
def test_live_greenlets_are_counted(tmp_path: Path, running: Running, alive: int) -> None:
    greenlets = Greenlets(tmp_path)
    program = Program("sleepers", [sys.executable, "-c", SLEEPERS.format(alive=alive)], tmp_path, greenlets.environ)
    running.add(program)
    program.wait_until(lambda: "up" in program.stdout())
    assert greenlets.count([program.pid]) == 2 + alive  # the main one, and gevent's hub
