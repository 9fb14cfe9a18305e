"""The architecture is executed: every file keeps every rule, and every rule is shown to catch what it is there for."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import RULES, Rule, Source

ROOT = Path(__file__).parents[1]

# Modules without a test file of their own name, and the file that tests them instead.
TESTED_BY = {
    "relay/cli/demo_upstream.py": "tests/demo/test_command.py",
    "relay/demo/chat.py": "tests/demo/test_answers.py",
    "relay/demo/dialect.py": "tests/demo/test_answers.py",
    "relay/demo/embeddings.py": "tests/demo/test_answers.py",
    "relay/demo/messages.py": "tests/demo/test_answers.py",
    "relay/demo/orders.py": "tests/demo/test_answers.py",
    "relay/demo/responses.py": "tests/demo/test_answers.py",
    "relay/demo/script.py": "tests/demo/test_answers.py",
    "relay/demo/tally.py": "tests/demo/test_connection.py",
    "relay/demo/faults/*.py": "tests/demo/test_faults.py",
    "relay/pump/outlet.py": "tests/pump/test_log_outlet.py",
}


def _paths(*patterns: str) -> list[str]:
    found = (path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern))
    return sorted(str(path) for path in found if not {"node_modules", "__pycache__"} & set(path.parts))


def _sources() -> list[Source]:
    paths = _paths("app.py", "gunicorn.conf.py", "relay/**/*.py", "config/**/*.py", "tests/**/*.py")
    return [Source(path, (ROOT / path).read_text()) for path in paths]


def untested(modules: list[str], tests: list[str], tested_by: dict[str, str]) -> Iterator[str]:
    """Each relay module has its test_NAME.py below tests/, or stands in `tested_by`, which has no dead entries."""
    names = {Path(test).name for test in tests}
    for module in modules:
        wanted = f"test_{Path(module).name}"
        if wanted not in names and not any(fnmatch(module, pattern) for pattern in tested_by):
            yield f"{module}:1: no {wanted} below tests/; write it, or name the test in TESTED_BY"
    for pattern, test in tested_by.items():
        if test not in tests or not any(fnmatch(module, pattern) for module in modules):
            yield f"tests/test_architecture.py: TESTED_BY {pattern!r}: {test!r} is out of date; remove it"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    problems = [problem for source in _sources() for problem in rule(source)]
    assert not problems, "\n" + "\n".join(problems)


def test_every_relay_module_has_its_tests() -> None:
    modules = [path for path in _paths("relay/**/*.py") if Path(path).name not in {"__init__.py", "__main__.py"}]
    problems = list(untested(modules, _paths("tests/**/*.py"), TESTED_BY))
    assert not problems, "\n" + "\n".join(problems)


CAUGHT = [
    (architecture.layers, "relay/core/sse.py", "import relay.stores.keys", "core imports relay.stores.keys (stores)"),
    (architecture.layers, "relay/stores/keys.py", "from relay import admission", "imports relay.admission (room)"),
    (architecture.layers, "relay/probe.py", "import relay.upstream", "room imports relay.upstream (room)"),
    (architecture.layers, "relay/pump/sink.py", "from relay.logs import Log", "let assembly hand it over"),
    (architecture.layers, "relay/pump/sink.py", "from ..logs import Log", "room imports relay.logs.Log (room)"),
    (architecture.layers, "relay/logs.py", "from relay.web import errors", "room imports relay.web.errors (web)"),
    (architecture.layers, "relay/exchange.py", "import relay.assembly", "room imports relay.assembly (assembly)"),
    (architecture.layers, "relay/web/proxy.py", "import relay.cli.keys", "web imports relay.cli.keys (cli)"),
    (architecture.layers, "relay/cli/keys.py", "import relay.web", "cli imports relay.web (web)"),
    (architecture.layers, "gunicorn.conf.py", "import relay.logs", "gunicorn.conf imports relay.logs (room)"),
    (architecture.layers, "config/settings.py", "import relay.core.keys", "config imports relay.core.keys (core)"),
    (architecture.layers, "relay/core/a.py", "def f():\n    import relay.probe", "relay/core/a.py:2:"),
    (architecture.configuration, "relay/probe.py", "from config.settings import load", "imports config.settings.load"),
    (architecture.configuration, "relay/web/proxy.py", "import config", "let assembly pass the value"),
    (architecture.libraries, "relay/probe.py", "import flask", "imports flask; only relay.web may"),
    (architecture.libraries, "relay/stores/keys.py", "from gevent import sleep", "imports gevent.sleep"),
    (architecture.libraries, "relay/cli/keys.py", "import gevent.pool", "imports gevent.pool"),
    (architecture.libraries, "relay/probe.py", "import requests", "only relay.upstream, relay.pump.takeover"),
    (architecture.libraries, "relay/pump/source.py", "from urllib3 import x", "imports urllib3.x"),
    (architecture.libraries, "relay/upstream.py", "import redis", "only relay.stores may"),
    (architecture.libraries, "relay/accounting.py", "from sqlalchemy import select", "only relay.stores may"),
    (architecture.libraries, "relay/web/proxy.py", "import limits", "only relay.stores, relay.admission may"),
    (architecture.environment, "relay/cli/serve.py", "import os\nos.environ['PORT']", "serve.py:2: reads os.environ"),
    (architecture.environment, "app.py", "import os\nos.getenv('PORT')", "app.py:2: reads os.getenv"),
    (architecture.environment, "gunicorn.conf.py", "from os import environ", "imports os.environ"),
    (architecture.purity, "relay/core/sse.py", "import flask", "core knows the standard library and msgspec only"),
    (architecture.purity, "relay/core/sse.py", "from time import monotonic", "core imports time.monotonic"),
    (architecture.purity, "relay/core/sse.py", "import http.client", "core imports http.client"),
    (architecture.purity, "relay/core/sse.py", "import time\ntime.time()", "core imports time"),
    (architecture.purity, "relay/core/sse.py", "x = open('f')", "sse.py:1: core calls open()"),
    (architecture.purity, "relay/core/sse.py", "x = datetime.now()", "core calls now()"),
    (architecture.size, "relay/logs.py", "x = 1\n" * 251, "251 lines, 250 at most; it is two rooms"),
    (architecture.name, "relay/core/utils.py", "", "a file named 'utils'"),
    (architecture.name, "relay/error_handler.py", "", "a file named 'handler'"),
    (architecture.name, "tests/helpers/keys.py", "", "a file named 'helpers'"),
    (architecture.docstring, "relay/logs.py", "x = 1", "no module docstring"),
    (architecture.globals_, "relay/logs.py", "def f():\n    global x, y", "logs.py:2: global x, y"),
]


@pytest.mark.parametrize(("rule", "path", "text", "complaint"), CAUGHT, ids=range(len(CAUGHT)))
def test_the_rule_catches_its_offender(rule: Rule, path: str, text: str, complaint: str) -> None:
    problems = list(rule(Source(path, text)))
    assert len(problems) == 1
    assert complaint in problems[0]


ADMITTED = [
    ("relay/core/sse.py", "import msgspec\nfrom datetime import datetime\nfrom relay.core.body import chunk"),
    ("relay/stores/keys.py", "import sqlalchemy, redis, limits\nfrom relay.core.keys import digest"),
    ("relay/admission.py", "import limits, time\nimport relay.stores.rates\nimport relay.core.errors"),
    ("relay/pump/takeover.py", "import gevent, requests, urllib3\nfrom relay.pump import sink\nfrom . import source"),
    ("relay/assembly.py", "import config\nfrom relay.pump.pump import Pump\nfrom relay.stores import keys"),
    ("relay/web/__init__.py", "import flask, flask_cors\nfrom config.settings import load\nimport relay.assembly"),
    ("relay/cli/serve.py", "import gevent\nfrom config.settings import load\nfrom relay.stores.keys import KeyStore"),
    ("relay/__main__.py", "from relay.cli import main"),
    ("app.py", "from relay.web import create_app"),
    ("gunicorn.conf.py", "from gevent import monkey\nfrom config.settings import load"),
    ("config/settings.py", "import os\nfrom config.schema import Settings\nos.environ"),
    ("tests/core/test_sse.py", "import os, gevent, flask\nimport relay.core.sse\nos.environ"),
    ("relay/stores/__init__.py", ""),
]


@pytest.mark.parametrize(("path", "text"), ADMITTED, ids=[path for path, _ in ADMITTED])
def test_what_belongs_there_is_admitted(path: str, text: str) -> None:
    source = Source(path, f'"""What it is for."""\n{text}\n')
    assert [problem for rule in RULES for problem in rule(source)] == []


def test_a_module_without_its_test_is_named() -> None:
    assert list(untested(["relay/logs.py"], ["tests/test_probe.py"], {})) == [
        "relay/logs.py:1: no test_logs.py below tests/; write it, or name the test in TESTED_BY"
    ]


def test_a_test_anywhere_below_tests_will_do() -> None:
    assert not list(untested(["relay/core/sse.py"], ["tests/core/test_sse.py"], {}))
    elsewhere = {"relay/demo/*": "tests/demo/test_answers.py"}
    assert not list(untested(["relay/demo/chat.py"], ["tests/demo/test_answers.py"], elsewhere))


def test_an_exception_that_nothing_needs_is_named() -> None:
    tests = ["tests/test_logs.py"]
    assert len(list(untested(["relay/logs.py"], tests, {"relay/gone.py": "tests/test_logs.py"}))) == 1
    assert len(list(untested(["relay/logs.py"], tests, {"relay/logs.py": "tests/test_gone.py"}))) == 1
