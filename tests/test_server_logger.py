"""gunicorn's own log lines: what they tell of a request is cut to its beginning, as gunicorn itself says them."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, InvalidResponseHeader
from gunicorn.http.parser import RequestParser
from gunicorn.workers.base import Worker

from relay.logs import ServerLogger

CANARY = "canary-Hq7Lw2Tn"
PEER = ("127.0.0.1", 9)


class Server:
    """gunicorn's worker with our logger, as far as it tells of requests; `said`: all it wrote."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cfg = Config()
        self.cfg.set("errorlog", str(path))
        self.log = ServerLogger(self.cfg)

    @property
    def said(self) -> str:
        return self._path.read_text()

    def fails(self, error: Exception, request: Any = None) -> None:
        """What the worker does with an error that a request ended in."""
        peer = SimpleNamespace(sendall=lambda data: None, getsockname=lambda: PEER)
        Worker.handle_error(self, request, peer, PEER, error)

    def close(self) -> None:
        for log in (self.log.error_log, self.log.access_log):
            for part in list(log.handlers):
                log.removeHandler(part)
                part.close()
            log.filters.clear()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "gunicorn.log")
    yield server
    server.close()


def in_a_request(server: Server, target: str, error: Exception) -> None:
    """What the worker does when this error ends a request for this target."""
    head = f"POST {target} HTTP/1.1\r\nHost: relay\r\n\r\n".encode()
    request = next(RequestParser(server.cfg, iter([head]), PEER))
    try:
        raise error
    except type(error) as caught:
        server.fails(caught, request)


def test_a_failed_request_is_told_without_its_address_and_without_the_errors_text(server: Server) -> None:
    in_a_request(server, f"/v1/chat/completions?key={CANARY}", ValueError(f"text with {CANARY}"))
    assert "Error handling request: ValueError at ['test_server_logger.py:" in server.said
    assert CANARY not in server.said
    assert "Traceback" not in server.said


def test_a_header_that_we_should_not_have_sent_is_told_as_our_failure(server: Server) -> None:
    in_a_request(server, f"/{CANARY}", InvalidResponseHeader("X-Test"))
    assert "Error handling request: InvalidResponseHeader at" in server.said
    assert CANARY not in server.said


@pytest.mark.parametrize("error", [InvalidHeader(f"X: {CANARY}"), InvalidRequestLine(f"GET /?key={CANARY}")])
def test_a_malformed_request_is_told_by_its_peer_and_not_quoted(server: Server, error: Exception) -> None:
    server.fails(error)
    assert "Invalid request from ip=127.0.0.1" in server.said
    assert CANARY not in server.said


def test_a_socket_error_is_told_by_its_kind(server: Server) -> None:
    try:
        raise OSError(f"with {CANARY}")
    except OSError:
        server.log.exception("Socket error processing request.")
    assert "Socket error processing request: OSError at" in server.said
    assert CANARY not in server.said


def test_any_query_in_any_line_is_left_out(server: Server) -> None:
    server.log.warning("closing GET /health?token=%s&x=1 HTTP/1.1", CANARY)
    server.log.error(f"closing '/a?key={CANARY}' and \"/b?{CANARY}\"")
    assert CANARY not in server.said
    assert "GET /health?… HTTP/1.1" in server.said


def test_what_is_not_about_a_request_stays_as_it_is(server: Server) -> None:
    server.log.info("Listening at: %s (%s)", "http://127.0.0.1:8000", 42)
    try:
        raise RuntimeError("the worker's own text")
    except RuntimeError:
        server.log.exception("Exception in worker process")
    assert "Listening at: http://127.0.0.1:8000 (42)" in server.said
    assert "RuntimeError: the worker's own text" in server.said


def test_a_reload_does_not_filter_twice(server: Server) -> None:
    for part in server.log.error_log.handlers:
        part.close()  # gunicorn leaves that to the collector
    server.log.setup(server.cfg)
    assert len(server.log.error_log.filters) == 1
    server.log.error("once")
    assert server.said.count("once") == 1
    assert logging.getLogger("gunicorn.error") is server.log.error_log
