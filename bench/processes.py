"""What Linux tells of running processes and cores: CPU time, memory, who was disturbed by others (proc(5))."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3): the exact time that the scheduler gave to all threads of a process
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CoreTimes:
    """Ticks of one core since boot; `stolen` ones the hypervisor gave to others."""

    busy: int
    stolen: int


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def cpu_ns(pids: Iterable[int]) -> int:
    """User and system time in nanoseconds; a process that is gone raises ProcessLookupError."""
    return sum(_cpu_ns(pid) for pid in pids)


def memory_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: private pages, and the share of what several processes map."""
    return sum(_pss_bytes((PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids)


def core_times(core: int) -> CoreTimes:
    return parse_core_times((PROC / "stat").read_text(), core)


def parse_core_times(text: str, core: int) -> CoreTimes:
    """From the line `cpuN user nice system idle iowait irq softirq steal ...`."""
    for line in text.splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, stolen = (int(tick) for tick in ticks[:8])
            return CoreTimes(user + nice + system + irq + softirq, stolen)
    raise ValueError(f"no cpu{core}")


def wait_until_idle(pids: list[int], seconds_max: float = 10.0) -> None:
    """Return once the processes use less than 5 % of a core, so that one run's remains do not count for the next."""
    deadline = time.monotonic() + seconds_max
    before = cpu_ns(pids)
    while pids and time.monotonic() < deadline:
        time.sleep(0.1)
        now = cpu_ns(pids)
        if now - before < 5_000_000:
            return
        before = now


def _cpu_ns(pid: int) -> int:
    try:
        return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        raise ProcessLookupError(f"process {pid} is gone") from None


def _pss_bytes(text: str) -> int:
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def _parents() -> Iterable[tuple[int, int]]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:  # it ended while it was looked at
                continue
            yield int(entry.name), int(stat.rpartition(")")[2].split()[1])
