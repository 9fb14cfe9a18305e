"""A real Prometheus on loopback that scrapes one relay every second, and its query API."""

import http.client
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.ports import free_port
from tests.live.bench.program import Program

EXECUTABLE = "/usr/bin/prometheus"
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: relay
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
Labels = tuple[str, ...]


class Prometheus:
    """A running server; `directory` gets its configuration, its data and its output."""

    def __init__(self, relay_port: int, directory: Path) -> None:
        if not shutil.which(EXECUTABLE):
            pytest.skip("PROMETHEUS IS NOT TESTED: on Debian: apt-get install prometheus")
        self.port = free_port()
        configuration = directory / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(port=relay_port))
        command = [
            EXECUTABLE,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.program = Program("prometheus", command, directory, {})

    def wait_ready(self) -> "Prometheus":
        self.program.wait_until(self._is_ready)
        return self

    def sums(self, query: str, *by: str) -> Mapping[Labels, float]:
        """The values of an instant query by these labels; the others must not tell two of them apart."""
        rows = json.loads(self._get("/api/v1/query?" + urlencode({"query": query})))["data"]["result"]
        found = {tuple(row["metric"].get(name, "") for name in by): float(row["value"][1]) for row in rows}
        assert len(found) == len(rows), f"{query}: several values for one of {list(found)}"
        return found

    def sum(self, query: str) -> float:
        """The one value; 0 where there is none yet."""
        return self.sums(query).get((), 0.0)

    def tail(self) -> str:
        return self.program.tail()

    def stop(self) -> int:
        return self.program.stop()

    def _is_ready(self) -> bool:
        try:
            return self._get("/-/ready") != ""
        except OSError:
            return False

    def _get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            return text if answer.status == http.client.OK else ""
        finally:
            connection.close()


def figures_in(caller: RawCaller) -> dict[str, float]:
    """What this connection's worker answers to a scrape: each sample by its name with its labels."""
    caller.get("/metrics", key="")
    assert caller.read_answer_head().status == http.client.OK
    lines = caller.read_all().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
