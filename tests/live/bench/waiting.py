"""Waiting for something to become true, with an end."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], timeout_seconds: float = 2.0, what: str = "it") -> None:
    """AssertionError when it has not become true by then."""
    deadline = time.monotonic() + timeout_seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not become true in {timeout_seconds} s"
        time.sleep(0.005)
