"""The bench against itself: real programs are started, looked into and ended."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.bench import procfs, sdks
from tests.live.bench.caller import RawCaller
from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.program import Program, clean_environ
from tests.live.bench.relay_process import canonical_lines, options
from tests.live.bench.scripts import chat_stream
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def start(source: str, directory: Path, **environ: str) -> Program:
    return Program("example", [sys.executable, "-c", source], directory, environ)


def test_nginx_stands_in_front_with_the_given_location(
    upstream: ScriptedUpstream, start_nginx: Callable[[str], Nginx]
) -> None:
    nginx = start_nginx(stock_location(upstream.port))
    with RawCaller(nginx.port) as caller:
        caller.post("/v1/chat/completions", {"stream": True})
        status, headers = caller.read_head()
        assert status == 200
        assert "nginx" in dict(headers)["Server"]
        assert list(caller.frames()) == chat_stream("Hello", " world")
    assert nginx.stop() == 0
    assert "POST /v1/chat/completions" in nginx.access_log.read_text()


def test_an_nginx_that_does_not_start_says_why(start_nginx: Callable[[str], Nginx]) -> None:
    with pytest.raises(AssertionError, match='unknown directive "proxy_passs"'):
        start_nginx("proxy_passs http://127.0.0.1:1;")


def test_a_program_is_ended_by_sigterm_and_its_output_kept(tmp_path: Path) -> None:
    program = start("import time; print('up', flush=True); time.sleep(60)", tmp_path)
    program.wait_until(lambda: "up" in program.stdout())
    assert program.stop() == -signal.SIGTERM
    assert program.stop() == -signal.SIGTERM
    assert "up" in program.tail()


def test_a_program_that_ignores_sigterm_is_killed_and_fails_the_test(tmp_path: Path) -> None:
    program = start(STUBBORN, tmp_path)
    program.wait_until(lambda: "up" in program.stdout())
    with pytest.raises(AssertionError, match=r"did not end in 0\.2 s"):
        program.stop(0.2)
    assert program.exit_code == -signal.SIGKILL


def test_a_program_that_ends_too_early_shows_what_it_said(tmp_path: Path) -> None:
    program = start("raise SystemExit('no such setting')", tmp_path)
    with pytest.raises(AssertionError, match="ended with 1(.|\n)*no such setting"):
        program.wait_until(lambda: False)


def test_a_program_gets_nothing_of_the_developers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    environ = clean_environ({"PORT": "1"})
    assert "OPENAI_API_KEY" not in environ
    assert environ["PORT"] == "1"


def test_the_children_of_a_process_are_found() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as parent:
        until(lambda: len(procfs.children(parent.pid)) == 1)
        grandchildren = procfs.children(procfs.children(parent.pid)[0])
        assert grandchildren == []
    assert procfs.children(parent.pid) == []


def test_the_sockets_of_a_process_are_told_by_their_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        port = listener.getsockname()[1]
        own = f"import socket, sys; s = socket.create_connection(('127.0.0.1', {port})); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", own], stdin=subprocess.PIPE) as process:
            server_side, address = listener.accept()
            client.connect(("127.0.0.1", port))
            assert procfs.tcp_sockets(process.pid) == [procfs.TcpSocket(address[1], port)]
            server_side.close()
            assert len(procfs.tcp_sockets(process.pid)) == 1, "a half-closed socket is still held"
    assert procfs.tcp_sockets(process.pid) == []


def test_descriptors_are_listed_with_their_targets(tmp_path: Path) -> None:
    path = tmp_path / "held"
    with path.open("w"):
        pid = int(Path("/proc/self").readlink().name)
        assert str(path) in procfs.descriptors(pid)
    assert str(path) not in procfs.descriptors(pid)


def test_the_process_listing_shows_arguments() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "an-argument"], stdin=subprocess.PIPE) as process:
        until(lambda: "an-argument" in procfs.command_lines().get(process.pid, ""))


def test_canonical_lines_are_told_from_other_output() -> None:
    output = '[INFO] {"no": 1}\n{"request_id": "a", "end": "done"}\n{"event": "started"}\n{broken\n'
    assert canonical_lines(output) == [{"request_id": "a", "end": "done"}]


def test_a_policy_becomes_options() -> None:
    policy = {"rpm": 60, "budget_usd": 0.5, "model": ["a", "b"]}
    assert options(policy) == ["--rpm", "60", "--budget-usd", "0.5", "--model", "a", "--model", "b"]


def test_node_finds_both_lines_of_the_official_client(tmp_path: Path) -> None:
    script = sdks.NODE_SCRIPTS / "versions.mjs"
    assert sdks.run_node(script, {}) == "node 24, openai 7.55.0, openai 6.49.0\n"


def test_the_older_python_client_runs_in_its_own_environment(tmp_path: Path) -> None:
    script = tmp_path / "version.py"
    script.write_text("import openai; print(openai.VERSION)")
    assert sdks.run_openai1(script, {}) == "1.109.1\n"
    assert sdks.run_python(script, {}) == "3.52.0\n"


def test_a_script_that_fails_shows_its_error(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("raise RuntimeError('what went wrong')")
    with pytest.raises(AssertionError, match="what went wrong"):
        sdks.run_python(script, {})


def test_waiting_has_an_end() -> None:
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"the moon did not become true in 0\.05 s"):
        until(lambda: False, 0.05, "the moon")
    assert time.monotonic() - began < 1
