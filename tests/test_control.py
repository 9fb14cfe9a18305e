"""The operator's socket: who may reach it, what it says, and what it does not fall over."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket

from relay import control as room
from relay.control import Control, own_directory

RUNNING = [{"id": "rs_1"}]


class Live:
    """What runs; `cancelled`: what was to be ended."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def running(self) -> list[dict[str, Any]]:
        return RUNNING

    def cancel(self, name: str) -> int:
        if name == "broken":
            raise RuntimeError(name)
        self.cancelled.append(name)
        return 1


class Scene:
    def __init__(self, directory: Path) -> None:
        self.directory, self.live, self.reported = directory, Live(), list[str]()
        self.control = Control(directory, self.live, lambda where, error: self.reported.append(f"{error!r}"))

    @property
    def path(self) -> Path:
        return self.directory / f"{os.getpid()}.sock"

    def say(self, line: bytes) -> bytes:
        with closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.settimeout(5)
            sock.connect(str(self.path))
            sock.sendall(line)
            return bytes(sock.makefile("rb").readline())

    def ask(self, **question: str) -> Any:
        return json.loads(self.say(json.dumps(question).encode() + b"\n"))


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A path that a socket's address has room for, though the relay needs none."""
    yield tmp_path_factory.mktemp("c") / "d"


@pytest.fixture
def scene(short: Path) -> Iterator[Scene]:
    scene = Scene(short)
    scene.control.start()
    yield scene
    scene.control.close()


def test_nobody_else_may_reach_it(scene: Scene) -> None:
    assert stat.S_IMODE(scene.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(scene.path.stat().st_mode) == 0o600


def test_it_tells_what_runs_and_ends_what_it_is_told(scene: Scene) -> None:
    assert scene.ask(do="list") == {"streams": RUNNING}
    assert scene.ask(do="cancel", id="rs_1") == {"cancelled": 1}
    assert scene.live.cancelled == ["rs_1"]


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"\xff\n", b'{"do":"other"}\n', b'{"do":1}\n', b"x" * 5000 + b"\n"])
def test_what_it_does_not_understand_it_says(scene: Scene, line: bytes) -> None:
    assert b"neither list nor cancel" in scene.say(line)
    assert scene.reported == []


def test_a_defect_is_reported_and_the_next_question_is_answered(scene: Scene) -> None:
    assert scene.ask(do="cancel", id="broken") == {"error": "it failed"}
    assert scene.reported == ["RuntimeError('broken')"]
    assert scene.ask(do="list") == {"streams": RUNNING}


def test_who_says_nothing_is_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SECONDS_MAX", 0.05)
    assert scene.say(b"") == b""


def test_a_closed_one_leaves_nothing_behind(scene: Scene) -> None:
    scene.control.close()
    scene.control.close()
    assert not scene.path.exists()


def test_a_killed_workers_socket_is_no_hindrance(scene: Scene) -> None:
    other = Scene(scene.directory)
    other.control.start()
    assert other.ask(do="list") == {"streams": RUNNING}
    other.control.close()


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    scene = Scene(tmp_path / ("d" * 100) / ("e" * 100))
    scene.control.start()
    assert scene.path.is_socket()
    scene.control.close()
    assert scene.reported == []


def _open_to_others(directory: Path) -> None:
    directory.mkdir(mode=0o755)


def _link(directory: Path) -> None:
    (directory.parent / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(directory.parent / "elsewhere")


def _file(directory: Path) -> None:
    directory.touch(mode=0o600)


@pytest.mark.parametrize("make", [_open_to_others, _link, _file])
def test_a_directory_that_is_not_ours_alone_is_not_used(short: Path, make: Callable[[Path], None]) -> None:
    make(short)
    with pytest.raises(PermissionError):
        own_directory(short)
    scene = Scene(short)
    scene.control.start()
    assert len(scene.reported) == 1
    gevent.sleep(0)
    scene.control.close()
