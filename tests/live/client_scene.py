"""A page that uses relay-client.js before a relay that a test scripts, and what that relay was asked."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tests.live.bench.browser import Tab
from tests.live.bench.conversation import Request
from tests.live.bench.node_page import NodePage
from tests.live.bench.scripts import Answer, every_request
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.scripted_relay import in_order

Page = NodePage | Tab


@dataclass
class Scene:
    """A page, and what the client in it asks of the relay."""

    page: Page
    server: ScriptedUpstream

    @property
    def is_node(self) -> bool:
        """Else a browser, which sends a preflight first."""
        return isinstance(self.page, NodePage)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def relay(self, *answers: Answer, **options: object) -> "Scene":
        """The relay will say this, one answer after another; a new client, with these options, will ask it."""
        self.server.answer(every_request(in_order(*answers)))
        self.page.call("client", **{"baseUrl": self.base_url, **options})
        return self

    def read(self, **asked: object) -> Any:
        return self.page.call("read", **asked)

    def start(self, name: str = "read", **asked: object) -> "Future[Any]":
        return self.page.start(name, **asked)

    def call(self, name: str, **asked: object) -> Any:
        return self.page.call(name, **asked)

    def asked(self, method: str) -> list[Request]:
        """What the client has asked for an answer by this method: POST costs, GET does not."""
        return [request for request in self.server.requests if request.method == method and not _is_beside(request)]

    @property
    def cancels(self) -> list[Request]:
        return [request for request in self.server.requests if "/cancel" in request.path and request.method == "POST"]

    def tail(self) -> str:
        return "\n".join(
            [self.page.tail(), *(f"{one.method} {one.path} {one.headers}" for one in self.server.requests)]
        )


def _is_beside(request: Request) -> bool:
    return "/cancel" in request.path or request.path.endswith(("/health/live", "/relay-client.js"))
