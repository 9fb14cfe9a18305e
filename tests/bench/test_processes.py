"""What is read from the kernel: whole process trees, CPU to the nanosecond, memory, the times of one core."""

import os
import subprocess
import sys
import time

import pytest

from bench import processes

STAT = """cpu  11 22 33 44 55 66 77 88 0 0
cpu0 1 2 3 4 5 6 7 8 0 0
cpu1 10 20 30 40 50 60 70 80 0 0
intr 9
"""


def test_a_core_is_busy_with_everything_but_idling_and_waiting() -> None:
    assert processes.parse_core_times(STAT, 1) == processes.CoreTimes(busy=10 + 20 + 30 + 60 + 70, stolen=80)


def test_a_core_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no cpu7"):
        processes.parse_core_times(STAT, 7)


def test_cpu_time_is_that_of_the_process() -> None:
    before, own = processes.cpu_ns([os.getpid()]), time.process_time_ns()
    while time.process_time_ns() - own < 30_000_000:
        pass
    spent = processes.cpu_ns([os.getpid()]) - before
    assert 30_000_000 <= spent < 300_000_000


def test_a_process_that_is_gone_is_told() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ProcessLookupError):
        processes.cpu_ns([child.pid])


def test_a_tree_has_the_children_of_children() -> None:
    program = "import subprocess, sys; p = subprocess.Popen(['sleep', '30']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        try:
            assert {os.getpid(), child.pid, grandchild} <= set(processes.tree(os.getpid()))
            assert processes.tree(child.pid) == [child.pid, grandchild]
        finally:
            os.kill(grandchild, 9)


def test_memory_grows_with_what_is_written_to() -> None:
    before = processes.memory_bytes([os.getpid()])
    held = bytearray(os.urandom(1 << 20) * 32)
    assert processes.memory_bytes([os.getpid()]) - before >= (24 << 20)
    del held


def test_waiting_for_an_idle_process_ends_at_once_without_any() -> None:
    before = time.monotonic()
    processes.wait_until_idle([])
    assert time.monotonic() - before < 1
