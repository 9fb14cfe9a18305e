"""GET /metrics: for a Prometheus on this machine, or for one that has the token."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from config.schema import Server
from tests.house import House

TOKEN = "metrics-token-0123456789"


def test_a_neighbour_on_this_machine_reads_the_figures(house: House, caller: FlaskClient) -> None:
    assert caller.post("/v1/chat/completions", json={"model": "m", "messages": []}).status_code == 200
    answer = house.app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert b'relay_requests_total{end="done",route="/v1/chat/completions",status="200"} 1.0' in answer.data


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_request_that_a_proxy_passed_on_needs_the_token(house: House, header: str) -> None:
    answer = house.app.test_client().get("/metrics", headers={header: "127.0.0.1"})
    assert answer.status_code == 401
    assert b"relay_requests" not in answer.data


def test_a_stranger_needs_the_token(house: House) -> None:
    answer = house.app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("presented", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer schlüssel", 401),
    ],
)
def test_only_the_token_opens_from_afar(build: Callable[..., House], presented: str, status: int) -> None:
    client = build(server=Server(metrics_token=TOKEN)).app.test_client()
    afar = {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": presented}
    assert client.get("/metrics", environ_base=afar).status_code == status


@pytest.mark.parametrize("presented", ["Bearer ", "Bearer x"])
def test_without_a_token_nobody_gets_in_from_afar(house: House, presented: str) -> None:
    afar = {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": presented}
    assert house.app.test_client().get("/metrics", environ_base=afar).status_code == 401
