"""Which answers are kept, what names a request, and what is told of it."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from relay.core.errors import RelayError
from relay.streams.production import Abandoned
from relay.web import resumable
from tests.house import ASK, CHAT, STREAM, House
from tests.live.bench.scripts import chat_stream, streaming
from tests.live.bench.upstream import ScriptedUpstream

SAID = chat_stream("Hello", " world")


@pytest.fixture(autouse=True)
def says(upstream: ScriptedUpstream) -> None:
    upstream.answer(streaming(SAID))


def ask(caller: FlaskClient, value: object = STREAM, path: str = CHAT, **headers: str) -> TestResponse:
    return caller.post(path, json=value, headers={name.replace("_", "-"): text for name, text in headers.items()})


def is_kept(response: TestResponse) -> bool:
    assert response.status_code == 200
    assert response.data  # to its end
    return "Relay-Stream-Id" in response.headers


@pytest.mark.parametrize(
    ("value", "headers", "kept"),
    [
        (STREAM, {"Relay_Resume": "1"}, True),
        (STREAM, {"Relay_Resume": "0"}, False),
        (STREAM, {"Relay_Resume": "true"}, False),
        (STREAM, {}, False),
        (STREAM, {"Idempotency_Key": "a"}, True),
        (ASK, {"Idempotency_Key": "b"}, True),
        (ASK, {"Relay_Resume": "1"}, False),
        (STREAM, {"Last_Event_ID": "17"}, False),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_an_answer_is_kept_where_it_was_asked_for(
    caller: FlaskClient, upstream: ScriptedUpstream, value: object, headers: dict[str, str], kept: bool
) -> None:
    if value is ASK:
        upstream.forget()
    assert is_kept(ask(caller, value, **headers)) == kept


@pytest.mark.parametrize(("value", "kept"), [(STREAM, True), (ASK, False)], ids=["stream", "JSON"])
def test_all_streams_of_a_key_may_be_kept(house: House, upstream: ScriptedUpstream, value: object, kept: bool) -> None:
    if value is ASK:
        upstream.forget()
    assert is_kept(ask(house.caller(house.new_key(resume=True)), value)) == kept


def test_what_is_kept_is_numbered_and_what_is_not_is_as_it_came(caller: FlaskClient) -> None:
    kept = ask(caller, Relay_Resume="1")
    name = kept.headers["Relay-Stream-Id"]
    assert kept.data == b"".join(f"id: {name}:{seq}\n".encode() + said for seq, said in enumerate(SAID, start=1))
    assert kept.headers["Relay-Stream-Url"].startswith(f"/v1/streams/{name}/events?ticket=")
    assert ask(caller).data == b"".join(SAID)


def test_the_same_name_is_the_same_answer(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    first, second = ask(caller, Idempotency_Key="x"), ask(caller, Idempotency_Key="x")
    assert first.data == second.data
    assert len(upstream.requests) == 1


def test_an_event_of_ours_resumes_behind_it(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    whole = ask(caller, Relay_Resume="1")
    rest = ask(caller, Last_Event_ID=f"{whole.headers['Relay-Stream-Id']}:2")
    assert rest.data == whole.data.split(b"\n\n", 2)[2]
    assert len(upstream.requests) == 1


def test_json_has_no_events_to_come_back_behind(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    upstream.forget()
    whole = ask(caller, ASK, Idempotency_Key="json")
    again = ask(caller, ASK, Last_Event_ID=f"{whole.headers['Relay-Stream-Id']}:1")
    assert (again.data, again.headers["Content-Length"]) == (whole.data, str(len(whole.data)))
    assert len(upstream.requests) == 1


def test_the_seed_routes_streams_are_kept_too(caller: FlaskClient) -> None:
    response = ask(caller, {"model": "gpt-test", "messages": ASK["messages"]}, "/api/chat/stream", Relay_Resume="1")
    assert is_kept(response)
    assert response.data.startswith(b"id: rs_")


def test_a_cut_of_each_kind_has_its_word_in_the_log(house: House) -> None:
    class Record:
        status, error, end, upstream_status = 0, "", "done", None

    class Work(resumable.RelayedWork):
        def __init__(self) -> None:
            self._record, self._relay = Record(), house.relay  # type: ignore[assignment]

    ends = {}
    for name, error in {
        "cancelled": RelayError("client_gone", "x"),
        "abandoned": Abandoned("client_gone", "x"),
        "draining": RelayError("draining", "x"),
        "refused": RelayError("too_many_streams", "x"),
    }.items():
        work = Work()
        house.relay.accountant.tell, told = lambda record: None, work._record
        work.refused(error)
        ends[name] = told.status, told.end
    assert ends == {
        "cancelled": (499, "cancelled"),
        "abandoned": (499, "client_gone"),
        "draining": (503, "shed"),
        "refused": (429, "done"),
    }
