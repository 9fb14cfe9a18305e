"""A kept stream as a response where there is no socket to take over; another body for an EventSource."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from relay.core.frame_log import FrameLog, Tally
from relay.core.kept import Kept, Subject
from relay.web.followed import _with_id
from tests.house import CHAT, STREAM, House
from tests.live.bench.scripts import chat_stream, streaming
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.served import Served, post

SAID = chat_stream("Hello")
NAMED = "Relay-Resume: 1"


@pytest.fixture(autouse=True)
def says(upstream: ScriptedUpstream) -> None:
    upstream.answer(streaming(SAID))


def frames(name: str) -> bytes:
    return b"".join(f"id: {name}:{seq}\n".encode() + said for seq, said in enumerate(SAID, start=1))


def test_without_a_socket_it_is_iterated(caller: FlaskClient) -> None:
    response = caller.post(CHAT, json=STREAM, headers={"Relay-Resume": "1"})
    assert response.data == frames(response.headers["Relay-Stream-Id"])


def test_on_a_socket_it_is_written_as_it_comes(house: House, served: Served) -> None:
    answer = served.answer(post(CHAT, house.new_key(), STREAM, NAMED))
    head, _, body = answer.partition(b"\r\n\r\n")
    name = head.partition(b"Relay-Stream-Id: ")[2].partition(b"\r\n")[0].decode()
    assert b"Transfer-Encoding: chunked" in head
    assert body.count(b"id: " + name.encode()) == len(SAID)
    assert body.endswith(b"\r\n0\r\n\r\n")


def test_head_is_answered_without_a_body(caller: FlaskClient) -> None:
    kept = caller.post(CHAT, json=STREAM, headers={"Relay-Resume": "1"})
    assert kept.data  # to its end
    response = caller.head(f"/v1/streams/{kept.headers['Relay-Stream-Id']}/events")
    assert (response.status_code, response.data) == (200, b"")


def kept_with(last_seq: int) -> Kept:
    subject = Subject("rs_1", "key", CHAT, None, "", 0.0)
    keeper: Any = type("Keeper", (), {"appended": lambda *_: None})()
    kept = Kept(subject, 1000, keeper, FrameLog(Tally()))
    if last_seq:
        kept.append(b"x", last_seq)
    return kept


@pytest.mark.parametrize(("last_seq", "named"), [(0, 1), (1, 1), (7, 7)])
def test_the_last_frame_of_another_body_is_named_so_that_all_is_delivered_behind_it(last_seq: int, named: int) -> None:
    data, done = b"data: {}\n\n", b"data: [DONE]\n\n"
    name = b"id: rs_1:%d\n" % named
    assert _with_id(data + done, kept_with(last_seq)) == data + name + done
    assert _with_id(data, kept_with(last_seq)) == name + data
