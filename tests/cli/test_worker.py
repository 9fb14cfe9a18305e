"""`python -m relay worker`: what it refuses before it starts; the rest is in tests/live/test_task_worker_process.py."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.cli import worker as verb
from tests.live.bench.program import run


@pytest.mark.parametrize(
    ("environ", "said"),
    [({}, "set REDIS_URL"), ({"RELAY_TASKS__PARALLEL": "none"}, "parallel")],
    ids=["no Redis", "bad configuration"],
)
def test_it_says_why_it_does_not_start(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        run([sys.executable, "-m", "relay", "worker"], {"DATABASE_URL": f"sqlite:///{tmp_path}/r.db", **environ})


def test_what_runs_has_its_time_and_is_then_told() -> None:
    told: list[str] = []
    worker = SimpleNamespace(running=1)

    def drain() -> None:
        told.append("drain")
        worker.running = 0

    verb._finish(SimpleNamespace(pump=SimpleNamespace(drain=drain)), worker, 0.1)
    assert told == ["drain"]
