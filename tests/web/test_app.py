"""The application as a whole: hosts, proxies, and a configuration that is read again without cutting anything."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

import relay.web
from config.schema import Cors, Health, Limits, Models, Server, Stores, Upstream
from config.settings import ConfigError, Settings
from tests.house import ASK, CHAT, House, settings_for
from tests.live.bench.scripts import DONE
from tests.live.bench.upstream import ScriptedUpstream

STREAM = {**ASK, "stream": True}


@pytest.fixture
def reload(
    house: House, upstream: ScriptedUpstream, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """reload(cors=Cors(...)): what SIGHUP does, where the file now says this; reload(error): where it says nonsense."""

    def reload(error: Exception | None = None, **sections: Any) -> None:
        def load() -> Settings:
            if error is not None:
                raise error
            return settings_for(upstream.base_url, tmp_path, **sections)

        monkeypatch.setattr(relay.web, "load", load)
        house.relay.lifecycle._reload()

    return reload


def reloads(house: House) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in house.logged().splitlines()]
    return [line for line in lines if line.get("where") == "reload"]


def test_any_host_is_served_while_none_is_named(caller: FlaskClient) -> None:
    assert caller.get("/health/live", headers={"Host": "evil.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("relay.example", True),
        ("relay.example:8000", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("evil.example", False),
        ("relay.example.evil.net", False),
        ("evil.example:relay.example", False),
        ("", False),
    ],
)
def test_other_hosts_than_the_named_ones_are_misdirected(build: Callable[..., House], host: str, served: bool) -> None:
    house = build(server=Server(trusted_hosts=("relay.example", "[::1]")))
    answer = house.caller().post(CHAT, json=ASK, headers={"Host": host})
    assert answer.status_code == (200 if served else 421)
    if not served:
        assert json.loads(answer.data)["error"]["code"] == "misdirected_request"


@pytest.mark.parametrize(("trusted", "address"), [(0, "127.0.0.1"), (1, "3.3.3.3"), (2, "2.2.2.2")])
def test_a_forwarded_address_counts_from_as_many_proxies_as_are_trusted(
    build: Callable[..., House], trusted: int, address: str
) -> None:
    house = build(server=Server(trusted_proxies=trusted))
    seen: list[str | None] = []
    house.app.before_request_funcs[None].append(lambda: seen.append(relay.web.flask.request.remote_addr))
    house.caller().get("/health/live", headers={"X-Forwarded-For": "1.1.1.1, 2.2.2.2, 3.3.3.3"})
    assert seen == [address]


def test_a_reload_takes_what_is_new_at_once(reload: Callable[..., None], house: House, caller: FlaskClient) -> None:
    assert caller.post(CHAT, json=ASK).status_code == 200
    page = "https://new.example"
    reload(models=Models(pass_unknown=False), cors=Cors(origins=(page,)), server=Server(body_bytes_max=500))
    answer = caller.post(CHAT, json=ASK, headers={"Origin": page})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (404, page)
    assert caller.post(CHAT, json={**ASK, "more": "x" * 500}).status_code == 413
    assert [(line["level"], line["restart_needed"]) for line in reloads(house)] == [("info", [])]


def test_a_reload_cuts_nothing_and_forgets_nothing(reload: Callable[..., None], house: House) -> None:
    caller = house.caller(house.new_key(concurrent=1, rpm=2))
    running = caller.post(CHAT, json=STREAM)
    for _ in range(3):
        reload()
    assert caller.post(CHAT, json=STREAM).status_code == 429, "the slot was forgotten"
    assert running.data.endswith(DONE)
    assert caller.post(CHAT, json=ASK).data
    assert house.slots_held() == 0
    assert caller.post(CHAT, json=ASK).status_code == 429, "the rate was forgotten"


def test_a_rotated_upstream_key_is_used_from_then_on(
    reload: Callable[..., None], caller: FlaskClient, upstream: ScriptedUpstream
) -> None:
    reload(upstreams=(Upstream(base_url=upstream.base_url, api_key="sk-new"),))
    assert caller.post(CHAT, json=ASK).status_code == 200
    assert upstream.requests[0].header("authorization") == "Bearer sk-new"


def test_a_bad_configuration_changes_nothing_and_is_told_once(
    reload: Callable[..., None], house: House, caller: FlaskClient
) -> None:
    before = house.app.extensions["relay"]
    reload(ConfigError(["[server] workers: expected a number"]))
    assert house.app.extensions["relay"] is before
    assert caller.post(CHAT, json=ASK).status_code == 200
    assert [(line["level"], line["problems"]) for line in reloads(house)] == [
        ("error", ["[server] workers: expected a number"])
    ]


def test_a_bundle_of_authorities_that_is_none_changes_nothing_and_is_told(
    reload: Callable[..., None], house: House, caller: FlaskClient, tmp_path: Any
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n")
    reload(upstreams=(Upstream(base_url="https://127.0.0.1:1/v1", ca_file=str(bundle), api_key="sk"),))
    assert caller.post(CHAT, json=ASK).status_code == 200
    assert [line["level"] for line in reloads(house)] == ["error"]


def test_what_only_a_restart_can_change_is_named(reload: Callable[..., None], house: House) -> None:
    reload(server=Server(bind="127.0.0.1:9", drain_seconds=1), stores=Stores(database_url="sqlite:///elsewhere.db"))
    assert [line["restart_needed"] for line in reloads(house)] == [["bind", "drain_seconds", "stores"]]


@pytest.mark.parametrize(
    "changed", [Server(trusted_hosts=("relay.example",)), Server(trusted_proxies=2)], ids=["hosts", "proxies"]
)
def test_what_a_reload_does_not_change_is_not_passed_over_in_silence(
    reload: Callable[..., None], house: House, caller: FlaskClient, changed: Server
) -> None:
    reload(server=changed)
    seen: list[str | None] = []
    house.app.before_request_funcs[None].append(lambda: seen.append(relay.web.flask.request.remote_addr))
    answer = caller.get("/health/live", headers={"Host": "evil.example", "X-Forwarded-For": "1.1.1.1, 2.2.2.2"})
    took_effect = answer.status_code == 421 or seen == ["1.1.1.1"]
    assert took_effect or reloads(house)[0]["restart_needed"]


def test_another_pace_of_the_probe_is_taken_or_named(reload: Callable[..., None], house: House) -> None:
    paces: list[float] = []
    house.relay.loop.every = lambda seconds, name, work: paces.append(seconds)
    reload(health=Health(probe_seconds=99))
    assert 99 in paces or reloads(house)[0]["restart_needed"]


def test_new_limits_are_for_new_keys(reload: Callable[..., None], house: House) -> None:
    caller = house.caller(house.new_key(rpm=7))
    reload(limits=Limits(rpm=1))
    assert caller.post(CHAT, json=ASK).headers["x-ratelimit-limit-requests"] == "7"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("null", "null"),
        ("nullAuthorization: Bearer rk_secret", None),
        ("https://app.example/path", None),
        ("https://rk_secret.example", None),
        ("x" * 400, None),
    ],
)
def test_only_what_a_browser_would_send_is_logged_as_an_origin(house: House, sent: str, told: str | None) -> None:
    house.app.test_client().get("/health/live", headers={"Origin": sent})
    assert [line["origin"] for line in house.log_lines()] == [told]


def test_a_key_in_another_place_is_not_logged_either(house: House) -> None:
    key = house.new_key()
    caller = house.caller(key)
    caller.post("/v1/chat/completions", json={"model": f"gpt-{key}"}, headers={"X-Request-Id": key})
    assert key not in house.logged()
    assert house.log_lines()[0]["model"] == "gpt-rk_…"
