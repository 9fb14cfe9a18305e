"""The directory in which several workers keep their figures."""

import os
from pathlib import Path

import pytest

from config.figures import VARIABLE, drop_figures, share_figures


def test_the_directory_is_private_named_and_removed_with_all_that_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "before")
    directory = Path(share_figures())
    assert os.environ[VARIABLE] == str(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    (directory / "counter_1.db").write_bytes(b"1")
    drop_figures(str(directory))
    assert not directory.exists()
    drop_figures(str(directory))
