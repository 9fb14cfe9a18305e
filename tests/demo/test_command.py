"""`demo-upstream` as a process of its own: says where it is, serves, and ends cleanly when told."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.demo.server import DemoUpstream

COMMAND = [sys.executable, "-W", "error", "-c", "from relay.cli.demo_upstream import command; command()"]


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *arguments], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_base_url_serves_and_ends_cleanly(number: signal.Signals) -> None:
    with started("--port", "0") as process:
        base_url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{base_url}/models", timeout=5) as answer:
            assert json.load(answer)["data"][0]["id"] == "demo"
        process.send_signal(number)
        _, said = process.communicate(timeout=5)
    assert (process.returncode, said) == (0, "")


def test_it_ends_at_once_although_a_generation_runs() -> None:
    with started("--port", "0") as process:
        body = json.dumps({"model": "fault-stall", "stream": True}).encode()
        url = f"{process.stdout.readline().strip()}/chat/completions"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as answer:
            answer.readline()
            process.terminate()
            _, said = process.communicate(timeout=5)
    assert (process.returncode, said) == (0, "")


def test_a_taken_port_is_said_in_one_line(upstream: DemoUpstream) -> None:
    with started("--port", str(upstream.port)) as process:
        _, said = process.communicate(timeout=5)
    assert process.returncode == 1
    assert said.startswith("Error: cannot listen: ") and said.count("\n") == 1
