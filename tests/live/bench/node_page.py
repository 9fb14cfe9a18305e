"""Node in the place of a browser's tab: the same functions, called in the same way."""

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from typing import Any

from tests.live.bench.program import ROOT, clean_environ
from tests.live.bench.sdks import NODE, NODE_SCRIPTS

CLIENT = ROOT / "relay" / "web" / "static" / "relay-client.js"
CALL_SECONDS_MAX = 20.0


class NodePage:
    """Runs client_page.mjs; `console`: what it wrote on its standard error."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(NODE), str(NODE_SCRIPTS / "client_page.mjs")],
            cwd=ROOT, env=clean_environ({"CLIENT_URL": CLIENT.as_uri()}), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.console: list[str] = []
        self._numbers = itertools.count()
        self._called: dict[int, Future[Any]] = {}
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._read, self._listen)]
        for reader in self._readers:
            reader.start()

    def call(self, name: str, /, **asked: object) -> Any:
        return self.start(name, **asked).result(CALL_SECONDS_MAX)

    def start(self, name: str, /, **asked: object) -> "Future[Any]":
        """Call without waiting, so that others can be called meanwhile."""
        number, called = next(self._numbers), Future[Any]()
        self._called[number] = called
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "name": name, "asked": asked}) + "\n")
        self._process.stdin.flush()
        return called

    def tail(self) -> str:
        return "\n".join(self.console[-40:])

    def close(self) -> None:
        """End the program. Once more does no harm."""
        self._process.kill()
        self._process.wait(5)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            called = self._called.pop(answer["id"])
            if "error" in answer:
                called.set_exception(AssertionError(answer["error"]))
            else:
                called.set_result(answer["value"])
        for called in self._called.values():
            called.set_exception(AssertionError(f"Node has ended:\n{self.tail()}"))

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self.console += (line.rstrip("\n") for line in self._process.stderr)
