"""The operator's hand: each worker answers on a socket of its own, in a directory that nobody else may enter.

One line of JSON in, `{"do": "list"}` or `{"do": "cancel", "id": …}`, one line out.
"""

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import gevent
import msgspec
from gevent.server import StreamServer

LINE_BYTES_MAX = 4_096
SECONDS_MAX = 5.0
SUFFIX = ".sock"


class Live(Protocol):
    """What runs in this worker."""

    def running(self) -> list[dict[str, Any]]: ...

    def cancel(self, name: str) -> int: ...


class _Asked(msgspec.Struct):
    do: str
    id: str = ""


class Control:
    """One per worker."""

    def __init__(self, directory: Path, live: Live, report: Callable[[str, BaseException], None]) -> None:
        self._path, self._live, self._report = directory / f"{os.getpid()}{SUFFIX}", live, report
        self._server: Any = None

    def start(self) -> None:
        """Listen. A directory that cannot be had, or is not ours alone, is reported, and nobody is listened to."""
        try:
            own_directory(self._path.parent)
            self._remove()
            self._server = StreamServer(_listener(self._path), self._answer)
            self._server.start()
        except OSError as error:
            self._report("control", error)

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._remove()

    def _answer(self, sock: Any, _: object) -> None:
        with suppress(OSError, gevent.Timeout), gevent.Timeout(SECONDS_MAX), sock:
            line = sock.makefile("rb").readline(LINE_BYTES_MAX)
            sock.sendall(msgspec.json.encode(self._said(line)) + b"\n")

    def _said(self, line: bytes) -> dict[str, Any]:
        try:
            asked = msgspec.json.decode(line, type=_Asked)
            if asked.do == "list":
                return {"streams": self._live.running()}
            if asked.do == "cancel":
                return {"cancelled": self._live.cancel(asked.id)}
        except msgspec.MsgspecError:
            pass
        except Exception as error:
            self._report("control", error)
            return {"error": "it failed"}
        return {"error": "what is asked is neither list nor cancel"}

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink()


def own_directory(directory: Path) -> None:
    """Make it, for this user alone. Raises OSError where it is, or might be, somebody else's too."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{directory} is not a directory of this user alone")


def _listener(path: Path) -> socket.socket:
    """A socket's address has 107 bytes; by way of its directory's descriptor any path is short."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = os.open(path.parent, os.O_DIRECTORY)
    try:
        sock.bind(f"/proc/self/fd/{descriptor}/{path.name}")
        os.chmod(path, 0o600)
        sock.listen()
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(descriptor)
    return sock
