"""A wall clock that a test sets, for every process of a relay, by libfaketime; the monotonic one stays true."""

from pathlib import Path

import pytest

SKIPPED = "CLOCK JUMPS ARE NOT TESTED: no libfaketime; on Debian: apt-get install faketime"


class FalseClock:
    """`environ` puts a process under it; `set` moves it for all of them at once."""

    def __init__(self, directory: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            pytest.skip(SKIPPED)
        self._file = directory / "clock"
        self.set(0)
        self.environ = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # the same, for older ones
            "NO_FAKE_STAT": "1",  # gunicorn keeps a worker's pulse in a file's time, by the monotonic clock
        }

    def set(self, seconds: int) -> None:
        """From now on the clock is that far ahead of the true one, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)
