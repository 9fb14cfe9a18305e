"""What assembly builds: rooms with the settings' values, and the flow that fits an answer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from msgspec.structs import replace

from config.schema import Health, Models, Price, Server, Stores, Stream, Upstream
from config.settings import Settings
from relay import assembly
from relay.assembly import Relay, assemble, reassemble
from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.flow import Flow
from relay.core.keys import KeyPolicy
from relay.core.plain_flow import PlainFlow, WrappedFlow
from relay.core.routes import CHAT
from relay.core.sse_flow import SseFlow
from relay.core.usage import Usage
from tests.house import UPSTREAM_KEY, settings_for
from tests.live.bench.scripts import answering, error_answer
from tests.live.bench.upstream import ScriptedUpstream

CALLER = Caller("key_1", KeyPolicy())
USAGE = b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}'


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream().start()
    yield scripted
    scripted.stop()


@pytest.fixture
def build(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Callable[..., Relay]]:
    built: list[Relay] = []

    def build(**sections: Any) -> Relay:
        built.append(assemble(settings_for(upstream.base_url, tmp_path, **sections), no_reload))
        return built[-1]

    yield build
    for relay in built:
        relay.stop()


def no_reload() -> None:
    pytest.fail("nobody asked for it")


def answer(media_type: str, status: int = 200) -> Any:
    return SimpleNamespace(content_type=media_type, status=status, target=SimpleNamespace(api_key=UPSTREAM_KEY))


def request(wire: object = None, hides_usage: bool = False) -> Any:
    return SimpleNamespace(route=CHAT, presence=SimpleNamespace(wire=wire), hides_usage=hides_usage, stream_id="")


def wait_until(true: Callable[[], bool], seconds_max: float = 3.0) -> None:
    with gevent.Timeout(seconds_max):
        while not true():
            gevent.sleep(0.01)


@pytest.mark.parametrize(
    ("media_type", "wire", "kind"),
    [
        ("text/event-stream; charset=utf-8", None, SseFlow),
        ("Text/Event-Stream", None, SseFlow),
        ("text/event-stream", "open", SseFlow),
        ("application/json", "open", WrappedFlow),
        ("application/json", None, PlainFlow),
        ("audio/mpeg", None, PlainFlow),
    ],
)
def test_the_flow_fits_the_answer(
    build: Callable[..., Relay], media_type: str, wire: str | None, kind: type[Flow]
) -> None:
    assert type(build().flow_for(request(wire), answer(media_type))) is kind


@pytest.mark.parametrize(
    ("media_type", "read"), [("application/json", True), ("application/problem+json", True), ("audio/mpeg", False)]
)
def test_usage_is_read_from_json_alone(build: Callable[..., Relay], media_type: str, read: bool) -> None:
    flow = build().flow_for(request(), answer(media_type))
    assert flow.feed(USAGE) + flow.verdict(body_ended=True).last == USAGE
    assert (flow.usage is not None) == read


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/json", "audio/mpeg"])
@pytest.mark.parametrize("wire", [None, "open"])
def test_every_flow_hides_the_upstreams_key(build: Callable[..., Relay], media_type: str, wire: str | None) -> None:
    flow = build().flow_for(request(wire), answer(media_type))
    echo = b'{"echo": "' + UPSTREAM_KEY.encode() + b'"}'
    said = flow.feed(b"data: " + echo + b"\n\n" if media_type == "text/event-stream" else echo)
    said += flow.verdict(body_ended=True).last
    assert b"echo" in said
    assert UPSTREAM_KEY.encode() not in said


@pytest.mark.parametrize("hides", [True, False])
def test_a_usage_frame_that_the_caller_did_not_ask_for_is_counted_and_kept_back(
    build: Callable[..., Relay], hides: bool
) -> None:
    flow = build().flow_for(request(hides_usage=hides), answer("text/event-stream"))
    frame = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    assert flow.feed(frame) == (b"" if hides else frame)
    assert flow.usage == Usage(1, 2)


def test_a_frame_may_be_as_long_as_the_settings_say(build: Callable[..., Relay]) -> None:
    flow = build(stream=Stream(frame_bytes_max=100)).flow_for(request(), answer("text/event-stream"))
    flow.feed(b"data: " + b"x" * 200)
    assert flow.overflowed


@pytest.mark.parametrize(("seconds_max", "spent_seconds"), [(0.01, 0.0), (30, 29.99), (30, 31)])
def test_the_bodys_deadline_is_what_is_left_of_the_settings_and_a_408(
    build: Callable[..., Relay], seconds_max: float, spent_seconds: float
) -> None:
    relay = build(server=Server(body_seconds_max=seconds_max))
    with pytest.raises(RelayError) as caught, relay.body_deadline(spent_seconds):
        gevent.sleep(2)
    assert (caught.value.code, caught.value.kind.status) == ("request_timeout", 408)


def test_unknown_models_pass_or_do_not_as_the_settings_say(build: Callable[..., Relay]) -> None:
    assert build().routing.targets_for("any", CALLER)[0].name == "default"
    with pytest.raises(RelayError) as caught:
        build(models=Models(pass_unknown=False)).routing.targets_for("any", CALLER)
    assert caught.value.code == "model_not_found"


def test_a_target_is_its_upstreams_settings(build: Callable[..., Relay]) -> None:
    upstream = Upstream("claude", "http://127.0.0.1:1/v1", "CLAUDE_KEY", ("anthropic-beta",), "x-api-key", "", "sk-1")
    (target,) = build(upstreams=(upstream,)).routing.targets_for(None, CALLER)
    assert (target.name, target.base_url, target.api_key) == ("claude", "http://127.0.0.1:1/v1", "sk-1")
    assert (target.auth, target.forward_headers, target.ca_file) == ("x-api-key", ("anthropic-beta",), "")


def test_of_several_upstreams_requests_go_to_the_first(build: Callable[..., Relay]) -> None:
    two = tuple(Upstream(name, "http://127.0.0.1:1/v1", f"{name.upper()}_KEY") for name in ("one", "two"))
    assert [target.name for target in build(upstreams=two).routing.targets_for("m", CALLER)] == ["one"]


def test_nothing_runs_in_the_background_before_the_start(
    build: Callable[..., Relay], upstream: ScriptedUpstream
) -> None:
    relay = build(health=Health(probe_seconds=0.01))
    gevent.sleep(0.05)
    assert upstream.requests == []
    assert relay.probe.health.error == "not_measured_yet"


def test_the_started_relay_probes_its_upstream_until_it_is_stopped(
    build: Callable[..., Relay], upstream: ScriptedUpstream
) -> None:
    relay = build(health=Health(probe_seconds=0.01, probe_path="/models"))
    relay.start()
    wait_until(lambda: relay.probe.health.error is None)
    assert (upstream.requests[0].method, upstream.requests[0].path) == ("GET", "/v1/models")
    upstream.answer(answering(error_answer("500 Oops", "x")))
    wait_until(lambda: relay.probe.health.error == "upstream_bad_response")
    relay.stop()
    asked = len(upstream.requests)
    gevent.sleep(0.05)
    assert len(upstream.requests) == asked


def test_background_work_that_fails_is_told_in_the_log_and_goes_on(
    build: Callable[..., Relay], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def look(watch: object) -> None:
        raise ValueError("canary")

    monkeypatch.setattr(assembly.RevocationWatch, "look", look)
    monkeypatch.setattr(assembly, "CACHE_SECONDS", 0.01)
    relay = build()
    relay.start()
    gevent.sleep(0.1)
    relay.stop()
    said = capfd.readouterr().out
    assert said.count('"where":"revocation","error":"ValueError"') > 1
    assert "canary" not in said


def test_new_settings_keep_what_runs_and_change_what_it_does(
    build: Callable[..., Relay], tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    relay, elsewhere = build(), ScriptedUpstream().start()
    changed = reassemble(relay, settings_for(elsewhere.base_url, tmp_path, stream=Stream(heartbeat_seconds=3)))
    kept = ("pump", "probe", "log", "loop", "connections", "capacity", "lifecycle")
    assert [name for name in kept if getattr(changed, name) is not getattr(relay, name)] == []
    changed.probe.measure()
    assert (len(elsewhere.requests), len(upstream.requests)) == (1, 0)
    assert changed.pump._bounds.heartbeat_seconds == 3
    elsewhere.stop()


def test_prices_reach_the_accountant(build: Callable[..., Relay]) -> None:
    relay = build(models=Models(prices={"m": Price(1.0, 2.0)}))
    assert relay.accountant._prices["m"].output == 2.0


def test_without_an_upstream_the_demo_is_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: ScriptedUpstream
) -> None:
    started: list[str] = []
    demo = SimpleNamespace(start=lambda: started.append("demo"), base_url=upstream.base_url)
    monkeypatch.setattr(assembly.parts, "DemoUpstream", lambda: demo)
    settings = replace(Settings(), stores=Stores(database_url=f"sqlite:///{tmp_path}/relay.db"))
    relay = assemble(settings, no_reload)
    (target,) = relay.routing.targets_for("demo", CALLER)
    assert started == ["demo"]
    assert (target.name, target.base_url, target.api_key) == ("demo", upstream.base_url, "")
    relay.stop()
