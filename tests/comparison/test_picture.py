"""The PNG, where matplotlib is there, and what is said where it is not."""

import sys
from pathlib import Path

import pytest

from relay.comparison.picture import NoMatplotlib, write_png
from relay.core.comparison.figures import Call
from relay.core.comparison.rows import rows
from relay.core.usage import Usage

ROWS = rows({("a", "x", "relay"): [Call("", 0.1, 1.0, Usage(1, 9))], ("b", "x", "relay"): [Call("status 500")]}, {})


def test_without_matplotlib_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(NoMatplotlib):
        write_png(tmp_path / "x.png", "title", "", ROWS)


def test_a_png_is_written(tmp_path: Path) -> None:
    write_png(tmp_path / "x.png", "title", "subtitle", ROWS)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
