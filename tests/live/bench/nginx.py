"""A real nginx with a location of the test's, in a directory of its own; as root or not."""

import os
import socket
from pathlib import Path

from tests.live.bench.ports import free_port
from tests.live.bench.program import Program

BINARY = "/usr/sbin/nginx"

# Debian's workers would be www-data, who may not enter a private temporary directory.
ROOT_ONLY = "user root;" if os.geteuid() == 0 else ""

CONFIGURATION = """
{root_only}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ {location} }}
    }}
}}
"""


def stock_location(port: int) -> str:
    """Nothing but a proxy: buffering stays on, as a newcomer would leave it."""
    return f"proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1;"


class Nginx:
    """A running nginx on `port`; `location` is the inside of its `location / { }`."""

    def __init__(self, location: str, directory: Path) -> None:
        self.port = free_port()
        self.access_log = directory / "access.log"
        configuration = directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(root_only=ROOT_ONLY, directory=directory, port=self.port, location=location)
        )
        command = [BINARY, "-p", str(directory), "-c", str(configuration), "-e", "stderr"]
        self.program = Program("nginx", command, directory, {})

    def wait_ready(self) -> "Nginx":
        self.program.wait_until(self._is_listening)
        return self

    def tail(self) -> str:
        return self.program.tail()

    def stop(self) -> int:
        return self.program.stop()

    def _is_listening(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0
