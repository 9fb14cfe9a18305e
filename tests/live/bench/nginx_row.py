"""One real nginx with a server on a port of its own for each configuration: many are tried at the price of one."""

from collections.abc import Mapping
from pathlib import Path

from tests.live.bench.nginx import BINARY, ROOT_ONLY, Nginx
from tests.live.bench.ports import free_ports
from tests.live.bench.program import Program

CONFIGURATION = """
{root_only}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {servers}
}}
"""


class NginxRow(Nginx):
    """`servers`: by name, the inside of a `server { }` that does not listen yet. `ports`: by the same names.

    A server whose name begins with `tls` listens with TLS. INNER in any of them is the address of the first one.
    """

    def __init__(self, servers: Mapping[str, str], directory: Path) -> None:
        self.ports = dict(zip(servers, free_ports(len(servers)), strict=True))
        self.port = next(iter(self.ports.values()))
        inner = f"127.0.0.1:{self.port}"
        blocks = [
            _server(self.ports[name], name.startswith("tls"), inside.replace("INNER", inner))
            for name, inside in servers.items()
        ]
        places = {"root_only": ROOT_ONLY, "directory": directory, "servers": "\n    ".join(blocks)}
        configuration = directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(**places))
        command = [BINARY, "-p", str(directory), "-c", str(configuration), "-e", "stderr"]
        self.program = Program("nginx", command, directory, {})


def _server(port: int, with_tls: bool, inside: str) -> str:
    return f"server {{ listen 127.0.0.1:{port}{' ssl' if with_tls else ''}; {inside} }}"
