"""`python -m relay serve`: a first run from nothing to a stream, with what it prints and nothing else."""

import http.client
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import Result

from relay.core.keys import DEMO_PAGE_KEY, KeyPolicy, is_well_formed
from relay.stores.keys import KeyStore
from tests.live.bench.ports import free_port
from tests.live.bench.program import Program

Call = Callable[..., Result]
Start = Callable[[], tuple[Program, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(): the program on a free port, ready to serve, and what it said before it did."""
    with ExitStack() as started:
        port = free_port()
        environ = {"PORT": str(port), "DATABASE_URL": f"sqlite:///{tmp_path}/relay.db"}
        environ |= {"RELAY_SERVER__LAME_DUCK_SECONDS": "0", "RELAY_SERVER__DRAIN_SECONDS": "2"}

        def start() -> tuple[Program, str]:
            program = Program("serve", [sys.executable, "-m", "relay", "serve"], tmp_path, environ)
            started.callback(lambda: program.exit_code is None and program.stop())
            program.wait_until(lambda: status(port) == 200)
            return program, program.stdout()

        yield start


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], str]]:
    """Instead of the server: the program, its arguments and its directory."""
    calls: list[tuple[str, list[str], str]] = []
    directory = os.getcwd()
    monkeypatch.setattr(os, "execv", lambda path, arguments: calls.append((path, arguments, os.getcwd())))
    monkeypatch.chdir(directory)  # and back again afterwards
    return calls


def status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def follow(curl: str) -> tuple[int, bytes]:
    """What the printed curl line gets."""
    words = shlex.split(curl)
    assert words[:2] == ["curl", "-N"]
    _, host, path = re.fullmatch(r"(http)://([^/]+)(/.*)", words[2]).groups()  # type: ignore[union-attr]
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("POST", path, words[words.index("-d") + 1], headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def printed(output: str) -> tuple[str, str]:
    """The key and the curl line."""
    key = re.search(r"^Your key: +(\S+) ", output, re.MULTILINE)
    curl = re.search(r"^curl .*\\\n.*$", output, re.MULTILINE)
    assert key
    assert curl
    return key[1], curl[0].replace("\\\n", " ")


def test_a_first_run_prints_a_key_and_a_line_that_streams_and_a_second_one_does_not(start: Start) -> None:
    program, said = start()
    key, curl = printed(said)
    assert is_well_formed(key)
    assert "the built-in demo" in said
    assert re.search(r"^Address: +http://127\.0\.0\.1:\d+$", said, re.MULTILINE)
    assert re.search(r"^Page: +http://127\.0\.0\.1:\d+/demo/$", said, re.MULTILINE)

    status_, body = follow(curl)
    assert status_ == 200
    assert body.endswith(b"data: [DONE]\n\n")
    assert body.count(b"data: ") > 20
    assert program.stop() == 0
    assert program.stdout().count(key) == said.count(key) == 2, "the key is in the log"
    assert key not in program.stderr()
    assert "Traceback" not in program.stderr()

    program, said = start()
    assert "as created before" in said
    assert "rk_" not in said
    assert "Bearer YOUR_KEY" in said
    assert follow(curl.replace('"demo"', '"mock-n1"'))[0] == 200, "the first key is gone"
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


def test_the_server_replaces_the_process(
    call: Call, executed: list[tuple[str, list[str], str]], tmp_path: Path
) -> None:
    os.chdir(tmp_path)
    assert call("serve").exit_code == 0
    ((program, arguments, directory),) = executed
    assert program == arguments[0] == sys.executable
    assert arguments[1:] == ["-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"]
    assert (Path(directory) / "gunicorn.conf.py").exists()


def test_the_first_key_has_the_limits_of_the_settings(
    call: Call, executed: object, store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_LIMITS__RPM", "7")
    assert call("serve").exit_code == 0
    (record,) = store.list()
    assert (record.name, record.policy) == ("first", KeyPolicy(rpm=7, concurrent=5))


def test_where_any_key_exists_none_is_made(call: Call, executed: object, store: KeyStore) -> None:
    store.create("mine", KeyPolicy())
    store.revoke("mine", 1.0)
    said = call("serve").stdout
    assert "as created before" in said
    assert [record.name for record in store.list()] == ["mine"]


def test_a_real_upstream_is_named_and_its_key_is_not(
    call: Call, executed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-Jd8")
    said = call("serve").output
    assert re.search(r"^Upstream: +https://llm\.example/v1$", said, re.MULTILINE)
    assert "canary" not in said
    assert '"model":"demo"' not in said


@pytest.mark.parametrize(("bind", "address"), [("0.0.0.0:81", "127.0.0.1:81"), ("127.0.0.1:9001", "127.0.0.1:9001")])
def test_the_address_is_one_that_can_be_called(
    call: Call, executed: object, monkeypatch: pytest.MonkeyPatch, bind: str, address: str
) -> None:
    monkeypatch.setenv("RELAY_SERVER__BIND", bind)
    said = call("serve").stdout
    assert f"curl -N http://{address}/v1/chat/completions" in said
    assert f"Address:   http://{address}\n" in said


def test_the_pages_own_key_is_not_taken_for_the_first(call: Call, executed: object, store: KeyStore) -> None:
    store.create(DEMO_PAGE_KEY, KeyPolicy())
    assert is_well_formed(printed(call("serve").stdout)[0])


def test_a_page_that_is_switched_off_is_not_named(
    call: Call, executed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_DEMO__PAGE", "false")
    assert "Page:" not in call("serve").stdout


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        (("RELAY_SERVER__WORKERS", "many"), "workers"),
        (("DATABASE_URL", "sqlite:////proc/nowhere/relay.db"), "cannot make the database"),
        (("DATABASE_URL", "mysql://canary@h/x"), "DATABASE_URL"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_starts(
    call: Call, executed: list[object], monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str], problem: str
) -> None:
    monkeypatch.setenv(*setting)
    refused = call("serve")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("The relay does not start:\n")
    assert problem in refused.stderr
    assert "canary" not in refused.output
    assert "Your key" not in refused.stdout
    assert executed == []
