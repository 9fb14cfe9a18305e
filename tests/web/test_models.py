"""GET /v1/models: the upstream's list, less what the key may not use."""

import json

import pytest
from flask.testing import FlaskClient

from relay.web import models
from tests.house import House
from tests.live.bench.conversation import Connection
from tests.live.bench.scripts import answering, error_answer, every_request, json_answer
from tests.live.bench.upstream import ScriptedUpstream

PATH = "/v1/models"
LISTING = {"object": "list", "data": [{"id": name, "owned_by": "x"} for name in ("one", "two", "three")], "more": 1}


@pytest.fixture(autouse=True)
def listing(upstream: ScriptedUpstream) -> None:
    upstream.answer(answering(json_answer(LISTING)))


@pytest.fixture
def bound(house: House) -> FlaskClient:
    """A caller whose key is for two of the models, and for one that the upstream does not have."""
    return house.caller(house.new_key(models=("one", "three", "four"), concurrent=1))


def test_a_key_without_models_gets_the_list_as_it_is(caller: FlaskClient) -> None:
    assert json.loads(caller.get(PATH).data) == LISTING


def test_a_key_with_models_sees_only_those(bound: FlaskClient, house: House) -> None:
    answer = bound.get(PATH)
    assert answer.json == {**LISTING, "data": [{"id": "one", "owned_by": "x"}, {"id": "three", "owned_by": "x"}]}
    assert answer.content_type == "application/json"
    assert house.slots_held() == 0


def test_head_checks_the_key_and_starts_nothing(caller: FlaskClient, house: House, upstream: ScriptedUpstream) -> None:
    answer = caller.head(PATH)
    assert (answer.status_code, answer.data) == (200, b"")
    assert house.caller("rk_unknown").head(PATH).status_code == 401
    assert upstream.accepted == 0
    assert house.slots_held() == 0


def test_a_listing_is_limited_and_accounted_for_like_any_request(house: House) -> None:
    caller = house.caller(house.new_key(rpm=1, models=("one",)))
    assert caller.get(PATH).headers["x-ratelimit-remaining-requests"] == "0"
    assert caller.get(PATH).status_code == 429
    lines = house.log_lines()
    assert [(line["route"], line["status"], line["error"]) for line in lines] == [
        (PATH, 200, None),
        (PATH, 429, "rate_limit_exceeded"),
    ]


UNREADABLE = {
    "no object": json_answer([1, 2]),
    "no data": json_answer({"object": "list"}),
    "nameless models": json_answer({"data": [{"name": "one"}]}),
    "models that are none": json_answer({"data": ["one"]}),
    "no JSON": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{nope",
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_a_list_that_cannot_be_read_is_the_upstreams_fault(
    bound: FlaskClient, house: House, upstream: ScriptedUpstream, answer: bytes
) -> None:
    upstream.answer(answering(answer))
    assert _refusal(bound) == (502, "upstream_bad_response")
    assert house.slots_held() == 0


def test_a_list_that_cannot_be_read_is_told_in_the_log(
    bound: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    upstream.answer(answering(UNREADABLE["no data"]))
    bound.get(PATH)
    (line,) = house.log_lines()
    assert (line["status"], line["error"], line["upstream_status"]) == (502, "upstream_bad_response", 200)


def test_a_list_without_an_end_is_not_kept_in_memory(
    bound: FlaskClient, house: House, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LIST_BYTES_MAX", 100)
    assert _refusal(bound) == (502, "upstream_bad_response")
    assert house.slots_held() == 0


def test_a_list_that_breaks_off_is_the_upstreams_fault(
    bound: FlaskClient, house: House, upstream: ScriptedUpstream
) -> None:
    def script(conn: Connection, _: object) -> None:
        conn.send(json_answer(LISTING)[:-5])
        conn.close()

    upstream.answer(every_request(script))
    assert _refusal(bound) == (502, "upstream_bad_response")
    assert house.slots_held() == 0


def test_an_upstreams_own_error_passes_as_it_does_elsewhere(
    bound: FlaskClient, caller: FlaskClient, upstream: ScriptedUpstream
) -> None:
    upstream.answer(answering(error_answer("429 Too Many Requests", "theirs", "Retry-After: 7")))
    for one in (caller, bound):
        answer = one.get(PATH)
        assert answer.status_code == 429
        assert answer.headers["Relay-Error-Source"] == "upstream"
        assert answer.headers["Retry-After"] == "7"
        assert json.loads(answer.data)["error"]["code"] == "theirs"


def _refusal(caller: FlaskClient) -> tuple[int, str]:
    answer = caller.get(PATH)
    assert answer.headers["Relay-Error-Source"] == "relay"
    return answer.status_code, json.loads(answer.data)["error"]["code"]
