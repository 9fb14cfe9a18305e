"""The whole way: file and environment in, frozen settings or every problem out."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ConfigError, Settings, load
from config.sources import ROOT, SECTIONS

NAMES = [f"RELAY_{s}__{name}".upper() for s, kind in SECTIONS.items() for name in kind.__struct_fields__]
NAMES += ["PORT", "WEB_CONCURRENCY", "OPENAI_BASE_URL", "RELAY_A__B"]


def test_the_default_file_is_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load({}).config_path == ROOT / "config" / "relay.toml"


def test_another_file_is_named_by_the_environment(written):
    environ = written("[server]\nworkers = 1\nkeepalive_seconds = 5")
    assert load(environ).server.keepalive_seconds == 5
    assert str(load(environ).config_path) == environ["RELAY_CONFIG"]


def test_an_empty_file_name_means_the_default_file():
    assert load({"RELAY_CONFIG": ""}).config_path == ROOT / "config" / "relay.toml"


def test_a_partial_section_keeps_its_other_defaults(written):
    stream = load(written("[stream]\nheartbeat_seconds = 0.5")).stream
    assert (stream.heartbeat_seconds, stream.idle_seconds_max) == (0.5, 120)


def test_the_environment_wins_over_the_file(written):
    environ = written("[stream]\nheartbeat_seconds = 5", RELAY_STREAM__HEARTBEAT_SECONDS="7.5")
    assert load(environ).stream.heartbeat_seconds == 7.5


def test_an_empty_variable_leaves_the_file_in_force(written):
    environ = written("[stream]\nheartbeat_seconds = 5", RELAY_STREAM__HEARTBEAT_SECONDS="")
    assert load(environ).stream.heartbeat_seconds == 5


def test_a_quoted_empty_string_replaces_what_the_file_says(written):
    environ = written('[stores]\nredis_url = "redis://h"', RELAY_STORES__REDIS_URL='""')
    assert load(environ).stores.redis_url == ""


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("RELAY_CORS__ORIGINS", '["https://app.example"]', ("https://app.example",)),
        ("RELAY_SERVER__LOG_CONTENT", "true", True),
        ("RELAY_SERVER__TRUSTED_HOSTS", '["a.example"]', ("a.example",)),
        ("RELAY_LIMITS__BUDGET_PER", "day", "day"),
        ("RELAY_TASKS__DEFAULT_MODEL", "4.1", "4.1"),
        ("RELAY_MODELS__PASS_UNKNOWN", "false", False),
    ],
)
def test_a_variable_sets_its_value(variable, text, value):
    section, name = variable.removeprefix("RELAY_").lower().split("__")
    assert getattr(getattr(load({variable: text}), section), name) == value


def test_the_stores_have_their_usual_variables():
    stores = load({"DATABASE_URL": "sqlite:///x.db", "REDIS_URL": "redis://h"}).stores
    assert (stores.database_url, stores.redis_url) == ("sqlite:///x.db", "redis://h")


def test_prices_can_be_set_by_a_variable():
    prices = load({"RELAY_MODELS__PRICES": "{ m = { input = 1, output = 2 } }"}).models.prices
    assert {name: (p.input, p.output) for name, p in prices.items()} == {"m": (1, 2)}


@pytest.mark.parametrize(
    ("environ", "bind"),
    [({"PORT": "9000"}, "127.0.0.1:9000"), ({"PORT": ""}, "127.0.0.1:8000"),
     ({"PORT": "9000", "RELAY_SERVER__BIND": "0.0.0.0:1"}, "0.0.0.0:9000"),
     ({"PORT": "9000", "RELAY_SERVER__BIND": "0.0.0.0"}, "0.0.0.0:9000"),
     ({"PORT": "9000", "RELAY_SERVER__BIND": "[::]:1"}, "[::]:9000"),
     ({"RELAY_SERVER__BIND": "0.0.0.0:1"}, "0.0.0.0:1")],
)  # fmt: skip
def test_port_replaces_the_port_and_leaves_the_host(environ, bind):
    assert load(environ).server.bind == bind


@pytest.mark.parametrize("port", ["0", "65536", "abc", "80 ", "-1", "8000.0", "1:2", "08", r"\q"])
def test_a_bad_port_is_refused(problems, port):
    (problem,) = problems({"PORT": port})
    assert problem.startswith("[server] bind: must be host:port") and problem.endswith("(from PORT)")


def test_a_port_does_not_hide_a_bad_address(written, problems):
    (problem,) = problems(written("[server]\nbind = 5", PORT="9000"))
    assert problem.startswith("[server] bind: must be a string, got 5")


def test_a_problem_is_one_plain_line_with_place_rule_value_and_source(problems):
    assert problems({"RELAY_STREAM__HEARTBEAT_SECONDS": "abc"}) == [
        "[stream] heartbeat_seconds: must be a number above 0 and at most 604800, "
        'got "abc" (from RELAY_STREAM__HEARTBEAT_SECONDS)'
    ]


def test_a_problem_in_the_file_names_the_file(written, problems):
    environ = written("[stream]\nheartbeat_seconds = 0")
    (problem,) = problems(environ)
    assert problem.endswith(f"got 0 (from {environ['RELAY_CONFIG']})")


def test_all_problems_of_all_kinds_are_told_at_once(written, problems):
    file = """
    [stream]
    heartbeat_seconds = 0
    idle = 5
    [sever]
    [cors]
    origins = ["null", "*"]
    [[upstreams]]
    name = "x y"
    [[upstreams]]
    base_url = "nonsense"
    api_key_env = "B_KEY"
    """
    variables = {"PORT": "x", "WEB_CONCURRENCY": "2", "RELAY_FOO__BAR": "1", "RELAY_AUTH__TOKEN_SECRET": "short"}
    environ = written(file, **variables, B_KEY="ä")
    assert [line.partition(": ")[0] for line in problems(environ)] == [
        "[sever]",
        "RELAY_FOO__BAR",
        "[stream] idle",
        "[stream] heartbeat_seconds",
        "[server] bind",
        "[server] workers",
        "[auth] token_secret",
        "[cors] origins",
        "[cors] origins",
        "[[upstreams]] #1 name",
        "[[upstreams]] #2 base_url",
        "[[upstreams]] #1 api_key_env",
        "B_KEY",
    ]


def test_a_broken_file_does_not_hide_a_bad_variable(written, problems):
    lines = problems(written("[server", RELAY_SERVER__WORKERS="0"))
    assert "is not TOML" in lines[0] and "[server] workers" in lines[1]


def test_a_missing_file_is_a_problem(problems):
    (problem,) = problems({"RELAY_CONFIG": "none.toml"})
    assert problem == f"{ROOT}/none.toml: cannot be read: No such file or directory"


def test_a_problem_that_two_upstreams_share_is_told_once(written, problems):
    file = '[[upstreams]]\nname = "a"\napi_key_env = "K"\n[[upstreams]]\nname = "b"\napi_key_env = "K"'
    assert len(problems(written(file, K="two words"))) == 1


@pytest.mark.parametrize(
    ("variable", "label"),
    [
        ("WEB_CONCURRENCY=2", "[server] workers"),
        ("RELAY_SERVER__BIND=x", "[server] bind"),
        ("RELAY_SERVER__DRAIN_SECONDS=4", "[server] lame_duck_seconds"),
        ('RELAY_SERVER__TRUSTED_HOSTS=["a/"]', "[server] trusted_hosts"),
        ("RELAY_AUTH__TOKEN_SECRET=short", "[auth] token_secret"),
        ('RELAY_CORS__ORIGINS=["*"]', "[cors] origins"),
        ("RELAY_RESUME__PROCESS_BYTES_MAX=256", "[resume] stream_bytes_max"),
        ("REDIS_URL=h", "[stores] redis_url"),
        ("DATABASE_URL=h", "[stores] database_url"),
        ("OPENAI_BASE_URL=h", "[[upstreams]] #1 base_url"),
    ],
)
def test_every_rule_is_in_force(problems, variable, label):
    (problem,) = problems(dict([variable.split("=", 1)]))
    assert problem.startswith(f"{label}: ")


@pytest.mark.parametrize(
    ("file", "label"),
    [('ca_file = "none.pem"', "ca_file"), ('forward_headers = ["cookie"]', "forward_headers")],
)
def test_every_rule_of_an_upstream_is_in_force(written, problems, file, label):
    (problem,) = problems(written(f"[[upstreams]]\n{file}"))
    assert problem.startswith(f"[[upstreams]] #1 {label}: ")


def test_several_workers_start_with_redis():
    assert load({"WEB_CONCURRENCY": "4", "REDIS_URL": "redis://h"}).server.workers == 4


def test_the_error_reads_as_its_problems_line_by_line():
    assert str(ConfigError(["a: x", "b: y"])) == "a: x\nb: y"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20)))
def test_any_environment_gives_settings_or_plain_printable_problems(environ):
    try:
        loaded = load(environ)
    except ConfigError as refused:
        assert refused.problems and all(line.isprintable() for line in refused.problems)
    else:
        assert isinstance(loaded, Settings)


def test_the_demo_answers_where_nothing_else_was_configured():
    assert load({}).uses_demo and Settings().uses_demo


@pytest.mark.parametrize("environ", [{"OPENAI_API_KEY": "sk"}, {"OPENAI_BASE_URL": "http://127.0.0.1:9000"}])
def test_a_key_or_another_address_is_an_upstream_and_no_demo(environ):
    assert not load(environ).uses_demo


def test_two_upstreams_are_no_demo(written):
    file = '[[upstreams]]\napi_key_env = ""\n[[upstreams]]\nname = "b"\napi_key_env = ""'
    assert not load(written(file)).uses_demo


def test_importing_reads_nothing():
    # RELAY_CONFIG names what cannot be read, so that reading it at import would be seen as an error
    environ = {**os.environ, "RELAY_CONFIG": "none.toml"}
    command = [sys.executable, "-c", "import config"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_an_argument_the_environment_of_the_process_is_read(monkeypatch):
    monkeypatch.setenv("RELAY_DEMO__PAGE", "false")
    monkeypatch.delenv("RELAY_CONFIG", raising=False)
    assert load().demo.page is False
