"""What serves the demo page in its tests: a relay behind nginx."""

from pathlib import Path

from tests.live.bench.nginx import Nginx, stock_location
from tests.live.bench.relay_process import RelayProcess
from tests.live.conftest import SHORT_LIMITS

BUILT_IN = {
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_API_KEY": "",
    "RELAY_STREAM__FIRST_BYTE_SECONDS_MAX": "10",  # demo-slow takes two
}
PRICED = {
    "RELAY_TASKS__DEFAULT_MODEL": "gpt-test",
    "RELAY_MODELS__PRICES": '{"gpt-test" = {input = 2.0, output = 8.0}}',
}


class Site:
    """A relay behind nginx; `origin`: of its pages."""

    def __init__(self, upstream_base_url: str, directory: Path, environ: dict[str, str]) -> None:
        self.relay = RelayProcess(upstream_base_url, directory, {**SHORT_LIMITS, **environ})
        self._nginx: Nginx | None = None
        self._directory = directory

    def wait_ready(self) -> "Site":
        self.relay.wait_ready()
        self._nginx = Nginx(stock_location(self.relay.port), self._directory).wait_ready()
        return self

    @property
    def nginx_port(self) -> int:
        assert self._nginx is not None
        return self._nginx.port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.nginx_port}"

    def tail(self) -> str:
        return self.relay.tail()

    def stop(self) -> None:
        if self._nginx is not None:
            self._nginx.stop()
        self.relay.stop()
