"""A real nginx that keeps its connections to the relay: what one caller leaves on them would meet the next."""

from pathlib import Path

from tests.live.bench.nginx import BINARY, ROOT_ONLY, Nginx
from tests.live.bench.ports import free_port
from tests.live.bench.program import Program

CONFIGURATION = """
{root_only}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    lingering_timeout 200ms;
    upstream relay {{ server 127.0.0.1:{relay_port}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://relay;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
            {more}
        }}
    }}
}}
"""


class PooledNginx(Nginx):
    """In front of the relay on that port; `more`: further lines of its location. It takes bodies of any size."""

    def __init__(self, relay_port: int, directory: Path, more: str = "") -> None:
        self.port = free_port()
        self.access_log = directory / "access.log"
        configuration = directory / "nginx.conf"
        places = {"root_only": ROOT_ONLY, "directory": directory, "port": self.port, "relay_port": relay_port}
        configuration.write_text(CONFIGURATION.format(more=more, **places))
        command = [BINARY, "-p", str(directory), "-c", str(configuration), "-e", "stderr"]
        self.program = Program("nginx", command, directory, {})
