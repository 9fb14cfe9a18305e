"""What Linux knows of a process: its children, its descriptors, its TCP sockets (proc(5))."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"


@dataclass(frozen=True)
class TcpSocket:
    """One TCP socket that a process holds; a half-closed one still counts."""

    local_port: int
    remote_port: int


def children(pid: int) -> list[int]:
    return sorted(child for child, parent in _parents() if parent == pid)


def descriptors(pid: int) -> list[str]:
    """Where each open descriptor of the process points: a path, or `socket:[inode]` and the like."""
    return [target for entry in _listing(PROC / str(pid) / "fd") if (target := _link(entry))]


def tcp_sockets(pid: int) -> list[TcpSocket]:
    """The TCP sockets of the process, but for listening ones."""
    held = set(descriptors(pid))
    tables = (PROC / str(pid) / "net" / name for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    own = (row for row in rows if row[3] != LISTENING and f"socket:[{row[9]}]" in held)
    return [TcpSocket(_port(row[1]), _port(row[2])) for row in own]


def threads(pid: int) -> int:
    return len(_listing(PROC / str(pid) / "task"))


def command_lines() -> dict[int, str]:
    """The process listing, as every user of the machine sees it."""
    return {int(entry.name): _read(entry / "cmdline").replace("\0", " ") for entry in _processes()}


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _processes():
        stat = _read(entry / "stat")
        if stat:  # the name, in parentheses, may hold anything
            yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def _processes() -> list[Path]:
    return [entry for entry in PROC.iterdir() if entry.name.isdigit()]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


# A process or a descriptor may vanish while it is looked at: it is then not there.
def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _listing(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
