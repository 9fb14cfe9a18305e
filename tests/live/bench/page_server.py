"""Serves the test pages, and to them the openai package and the relay's client, under an origin not the relay's."""

import functools
import http.server
import threading

from tests.live.bench.program import ROOT

PAGES = ROOT / "tests" / "live" / "pages"
PACKAGES = ROOT / "tests" / "live" / "node" / "node_modules"
STATIC = ROOT / "relay" / "web" / "static"
ELSEWHERE = {"/openai/": PACKAGES, "/relay-client.js": STATIC}


class PageServer:
    """Answers under every host name, on a port of its own."""

    def __init__(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=PAGES))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self) -> "PageServer":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def origin(self, host: str = "127.0.0.1") -> str:
        """What a page of this host sends as its `Origin`."""
        return f"http://{host}:{self.port}"


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # 237 small files, each a head and a body
    extensions_map = {
        ".html": "text/html",
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        "": "application/octet-stream",
    }

    def translate_path(self, path: str) -> str:
        self.directory = str(next((ELSEWHERE[start] for start in ELSEWHERE if path.startswith(start)), PAGES))
        return super().translate_path(path)

    def log_message(self, format: str, *args: object) -> None:
        """Not on pytest's standard error."""
