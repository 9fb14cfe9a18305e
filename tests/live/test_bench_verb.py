"""`python -m relay bench` on a real relay before the demo upstream, through and straight."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.live.bench.program import ROOT, clean_environ
from tests.live.demo_relay import DemoRelay, demo_relay

SLOW, FAST = "mock-n50-i4000-s4-d200000", "mock-n50-i1000-s4-d1000"
PRICES = f'[models.prices]\n"{SLOW}" = {{ input = 2.0, output = 8.0 }}\n"{FAST}" = {{ input = 1.0, output = 4.0 }}\n'


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRelay]:
    with demo_relay(tmp_path_factory.mktemp("demo")) as running:
        yield running


def bench(demo: DemoRelay, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = directory / "relay.toml"
    config.write_text(PRICES)
    environ = {
        "RELAY_CONFIG": str(config),
        "DATABASE_URL": f"sqlite:///{demo.relay.database_path}",
        "OPENAI_BASE_URL": demo.demo.base_url,
        "OPENAI_API_KEY": "sk-x",
        "PORT": str(demo.relay.port),
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "relay", "bench", *arguments],
        cwd=ROOT, env=clean_environ(environ), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_what_is_measured_is_what_the_upstream_did(demo: DemoRelay, tmp_path: Path) -> None:
    models = ("--model", SLOW, "--model", FAST, "--requests", "3", "--parallel", "3", "--output-tokens", "40")
    plot = tmp_path / "x.svg"
    with demo.demo.called(24):
        done = bench(
            demo, tmp_path, *models, "--direct", "--json", "--plot", str(plot),
            "--savings", f"{SLOW}:{FAST}", "--calls-per-month", "1000",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    by_place = {(row["model"], row["run"], row["way"]): row for row in told["rows"]}
    slow = by_place[SLOW, "sequential", "relay"]
    assert (slow["requests"], slow["error_rate"], slow["output_tokens"]) == (3, 0.0, 120)
    assert 200 <= slow["ttft_ms_p50"] < 5_000
    assert 20 < slow["tokens_per_second"] < 1_000
    assert slow["cost_usd"] == pytest.approx((slow["input_tokens"] * 2 + 120 * 8) / 1e6)
    assert slow["added_ttft_ms"] is not None
    assert by_place[SLOW, "parallel", "direct"]["requests"] == 3
    saved = told["savings"]
    assert saved["month_usd"] == pytest.approx(saved["first_usd"] / 2)
    assert ElementTree.fromstring(plot.read_text()) is not None


def test_failures_are_counted_and_the_rest_is_measured(demo: DemoRelay, tmp_path: Path) -> None:
    models = ("--model", "fault-no-done", "--model", "fault-nobody-knows", "--model", FAST)
    done = bench(demo, tmp_path, *models, "--requests", "2", "--parallel", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 x status 404" in done.stdout
    assert "sk-" not in done.stdout + done.stderr
