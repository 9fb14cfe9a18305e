"""In CI a skipped test fails the run; elsewhere it is only counted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPPING = "import pytest\ndef test_a(): pytest.skip('no nginx here')\ndef test_b(): pass\n"
MODULE_SKIPPING = "import pytest\npytest.skip('no redis here', allow_module_level=True)\n"
PASSING = "def test_a(): pass\n"


def run(directory: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own on one test file, under the project's conftest."""
    shutil.copy(CONFTEST, directory)
    (directory / "test_example.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(directory), str(directory)]
    environ = {**os.environ, "CI": ci}
    return subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("ci", ["true", "1", "True"])
def test_a_skipped_test_fails_the_run_in_ci_and_says_why(tmp_path: Path, ci: str) -> None:
    done = run(tmp_path, SKIPPING, ci)
    assert done.returncode == 1
    assert "skipped in CI: the run fails" in done.stdout
    assert "test_example.py::test_a: Skipped: no nginx here" in done.stdout


def test_a_skipped_module_beside_a_passing_one_fails_the_run_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(MODULE_SKIPPING)
    done = run(tmp_path, PASSING, "true")
    assert done.returncode == 1
    assert "no redis here" in done.stdout


@pytest.mark.parametrize(("source", "ci"), [(SKIPPING, ""), (SKIPPING, "false"), (PASSING, "true")])
def test_other_runs_pass(tmp_path: Path, source: str, ci: str) -> None:
    assert run(tmp_path, source, ci).returncode == 0
