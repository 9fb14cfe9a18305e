"""A relay in this process: the real application over a database of its own, before an upstream that a test scripts.

Nothing is patched here, so the relay's calls block; the scripted upstream answers from native threads.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
from flask.testing import FlaskClient
from msgspec.structs import replace

from config.schema import Section, Stores, Upstream
from config.settings import Settings
from relay.core.keys import KeyPolicy
from relay.stores.database import open_database
from relay.stores.keys import KeyStore
from relay.web import create_app

UPSTREAM_KEY = "sk-canary-upstream-pW4nTq8sYd2K"
CHAT = "/v1/chat/completions"
ASK: Mapping[str, object] = {"model": "gpt-test", "messages": [{"role": "user", "content": "canary-prompt-Zk3"}]}
STREAM: Mapping[str, object] = {**ASK, "stream": True}


def settings_for(base_url: str, directory: Path, **sections: Section) -> Settings:
    """The defaults, but for where things are, and for whole sections."""
    stores = Stores(database_url=f"sqlite:///{directory}/relay.db")
    upstream = Upstream(base_url=base_url, api_key=UPSTREAM_KEY)
    return replace(Settings(stores=stores, upstreams=(upstream,)), **sections)


class House:
    """`relay`: its rooms. `keys`: its store, reached as the command line does. What it logs goes to `log_path`."""

    def __init__(self, settings: Settings, log_path: Path) -> None:
        self._database = open_database(settings.stores.database_url)
        self._database.create_tables()
        self.keys = KeyStore(self._database)
        self.app = create_app(settings)
        self.relay: Any = self.app.extensions["relay"]
        self._log_path, self._made = log_path, 0
        self._log_descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.relay.log._descriptor = self._log_descriptor

    def new_key(self, **policy: Any) -> str:
        self._made += 1
        return self.keys.create(f"key-{self._made}", KeyPolicy(**policy))[1]

    def caller(self, key: str | None = None) -> FlaskClient:
        """A client that sends this key, or a new one without limits, with everything."""
        client = self.app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key or self.new_key()}"
        return client

    def slots_held(self) -> int:
        """By all keys together."""
        return len(self.relay.gate._slots.leases())

    def logged(self) -> str:
        """All that was written to the log so far."""
        self.relay.log.flush(2.0)
        return self._log_path.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of the requests so far."""
        lines = [json.loads(line) for line in self.logged().splitlines()]
        return [line for line in lines if "request_id" in line]

    def stop(self) -> None:
        self._end_production()
        self.relay.stop()
        self._database.close()
        self.relay.log._descriptor = -1  # whatever is told later must not go to whoever gets the number next
        os.close(self._log_descriptor)

    def _end_production(self) -> None:
        """What a test began and did not wait for must not go on in the next one."""
        producing = self.relay.streams.producing
        for production in list(producing.values()):
            production.cancel("cancelled")
        with gevent.Timeout(5):
            while producing:
                gevent.sleep(0.002)
