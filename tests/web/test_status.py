"""For monitors: no key, nothing upstream, and the truth as last measured."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from config.schema import Server
from relay.stores.database import StoreError
from tests.house import House
from tests.live.bench.scripts import answering, error_answer
from tests.live.bench.upstream import ScriptedUpstream


@pytest.fixture
def stranger(house: House) -> FlaskClient:
    return house.app.test_client()


def test_the_process_is_up(stranger: FlaskClient, upstream: ScriptedUpstream) -> None:
    answer = stranger.get("/health/live")
    assert (answer.status_code, answer.json) == (200, {"status": "alive"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert upstream.accepted == 0


def test_before_the_first_measurement_the_health_is_unknown(stranger: FlaskClient) -> None:
    answer = stranger.get("/health")
    assert answer.status_code == 503
    assert answer.json is not None
    assert (answer.json["status"], answer.json["error"]) == ("unhealthy", "not_measured_yet")


def test_a_measured_upstream_is_told_with_its_latency(
    stranger: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    house.relay.probe.measure()
    asked = len(upstream.requests)
    answer = stranger.get("/health")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json.keys() == {"status", "latency", "timestamp", "checks"}
    assert (answer.json["status"], answer.json["checks"]) == ("healthy", {"upstream": "ok", "limits": "ok"})
    assert 0 < answer.json["latency"] < 5000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json["timestamp"])
    assert len(upstream.requests) == asked, "a health check asked the upstream"


def test_a_failed_upstream_is_told_and_leaves_us_ready(
    stranger: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    upstream.answer(answering(error_answer("500 Oops", "canary")))
    house.relay.probe.measure()
    answer = stranger.get("/health")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"] == answer.json["checks"]["upstream"] == "upstream_bad_response"
    assert b"canary" not in answer.data
    assert stranger.get("/health/ready").status_code == 200


def test_while_draining_we_are_alive_and_not_ready(stranger: FlaskClient, house: House) -> None:
    assert stranger.get("/health/ready").json == {"status": "ready"}
    house.relay.lifecycle.draining = True
    assert (stranger.get("/health/ready").status_code, stranger.get("/health/live").status_code) == (503, 200)


def test_head_is_answered_without_a_body_and_post_not_at_all(stranger: FlaskClient) -> None:
    head = stranger.head("/health/live")
    assert (head.status_code, head.data) == (200, b"")
    assert stranger.post("/health/live").status_code == 405


def test_the_routes_are_below_the_prefix_too(build: Callable[..., House]) -> None:
    stranger = build(server=Server(path_prefix="/sse")).app.test_client()
    for path in ("/health/live", "/health/ready", "/health"):
        assert stranger.get("/sse" + path).status_code == stranger.get(path).status_code != 404


def test_without_its_keys_the_relay_is_not_ready(
    stranger: FlaskClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stranger.get("/health/ready").status_code == 200

    def gone(key_ids: set[str]) -> set[str]:
        raise StoreError("database: gone")

    monkeypatch.setattr(house.relay.keys, "revoked_among", gone)
    answer = stranger.get("/health/ready")
    assert (answer.status_code, answer.json) == (503, {"status": "store_unavailable"})
