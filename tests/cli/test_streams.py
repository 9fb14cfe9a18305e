"""`streams list` and `streams cancel`: what several workers say, and what is said where none answers."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relay.cli.streams import command

ONE = {
    "id": "rs_1", "key_id": "key_1", "route": "/v1/tasks", "model": "[red]m", "status": "live", "age_seconds": 2.4,
    "frames": 7,
}  # fmt: skip
OLDER = {**ONE, "id": "req_2", "age_seconds": 60.0}


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{home}/r.db")
    directory = home / "r.db.control"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def worker(directory: Path) -> Iterator[Callable[[int, dict[str, Any]], list[Any]]]:
    """worker(7, {...}): one of this pid that says so; what it was asked is in the list."""
    listeners: list[socket.socket] = []

    def start(pid: int, answer: dict[str, Any]) -> list[Any]:
        listener, asked = socket.socket(socket.AF_UNIX), list[Any]()
        listener.bind(str(directory / f"{pid}.sock"))
        listener.listen()
        listeners.append(listener)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock, sock.makefile("rwb") as file:
                asked.append(json.loads(file.readline()))
                file.write(json.dumps(answer).encode() + b"\n")

        threading.Thread(target=serve, daemon=True).start()
        return asked

    yield start
    for listener in listeners:
        listener.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_what_all_workers_run_is_listed_the_oldest_first(worker: Callable[..., list[Any]], directory: Path) -> None:
    (directory / "6.sock").touch()  # a killed worker's
    asked = worker(7, {"streams": [ONE]})
    worker(8, {"streams": [OLDER]})
    result = run("list", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [{**OLDER, "worker": 8}, {**ONE, "worker": 7}]
    assert asked == [{"do": "list"}]


def test_the_table_shows_names_as_they_are(worker: Callable[..., list[Any]]) -> None:
    worker(7, {"streams": [ONE]})
    shown = run("list").stdout
    assert all(cell in shown for cell in ("rs_1", "key_1", "[red]m", "live", "2 s", "7"))


def test_a_cancel_is_said_to_all(worker: Callable[..., list[Any]]) -> None:
    asked = [worker(7, {"cancelled": 0}), worker(8, {"cancelled": 1})]
    result = run("cancel", "rs_1", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"id": "rs_1", "cancelled": 1})
    assert asked == [[{"do": "cancel", "id": "rs_1"}]] * 2


def test_what_runs_nowhere_cannot_be_ended(worker: Callable[..., list[Any]]) -> None:
    worker(7, {"cancelled": 0})
    result = run("cancel", "rs_1")
    assert (result.exit_code, result.stderr) == (1, "Error: nothing with the id 'rs_1' runs here\n")


@pytest.mark.parametrize("arguments", [("list",), ("cancel", "rs_1")])
def test_where_no_relay_runs_it_says_where_it_looked(directory: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"no relay of this user listens in {directory}" in result.stderr


def test_a_bad_configuration_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_TASKS__PARALLEL", "none")
    assert run("list").exit_code == 1
