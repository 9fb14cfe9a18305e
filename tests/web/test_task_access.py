"""Whose a task is: its owner's, its ticket's holder's, nobody else's; and which request names it again."""

import json

from flask.testing import FlaskClient

from tests.house import House
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.task_page import PROMPT, TASK_ID, assert_in_order, code_of, followed, posted


def test_the_same_task_is_accepted_once(caller: FlaskClient, upstream: ScriptedUpstream) -> None:
    first = posted(caller, task_id=TASK_ID)
    assert posted(caller, task_id=TASK_ID)["task_id"] == first["task_id"]
    followed(caller, first["stream_url"])
    posted(caller, task_id=TASK_ID)
    followed(caller, first["stream_url"])
    assert len(upstream.requests) == 1


def test_another_body_under_its_id_and_another_owner_are_refused_alike(caller: FlaskClient, house: House) -> None:
    posted(caller, task_id=TASK_ID)
    other_body = caller.post("/process", json={**PROMPT, "task_id": TASK_ID, "temperature": 1})
    other_owner = house.caller().post("/process", json={**PROMPT, "task_id": TASK_ID})
    assert code_of(other_body) == code_of(other_owner) == (422, "idempotency_mismatch")
    assert other_body.data == other_owner.data


def test_an_idempotency_key_names_one_task_of_its_owner(caller: FlaskClient, house: House) -> None:
    headers = {"Idempotency-Key": "order-17"}
    ids = [json.loads(caller.post("/process", json=PROMPT, headers=headers).data)["task_id"] for _ in range(2)]
    others = json.loads(house.caller().post("/process", json=PROMPT, headers=headers).data)["task_id"]
    assert ids[0] == ids[1] != others
    other_body = caller.post("/process", json={**PROMPT, "temperature": 1}, headers=headers)
    assert code_of(other_body) == (422, "idempotency_mismatch")
    assert code_of(caller.post("/process", json=PROMPT, headers={"Idempotency-Key": ""})) == (400, "invalid_request")


def test_strangers_see_the_same_404_as_for_a_task_that_never_was(caller: FlaskClient, house: House) -> None:
    mine, stranger = posted(caller)["task_id"], house.caller()
    for method, path in (("get", ""), ("get", "/events"), ("post", "/cancel")):
        answers = [getattr(stranger, method)(f"/v1/tasks/{name}{path}") for name in (mine, TASK_ID, "no-uuid")]
        assert [code_of(answer) for answer in answers] == [(404, "task_not_found")] * 3
        assert len({answer.data for answer in answers}) == 1
    for alias in ("stream", "tasks"):
        assert code_of(stranger.get(f"/{alias}/{mine}")) == (404, "task_not_found")
    assert house.app.test_client().get(f"/v1/tasks/{mine}").status_code == 401


def test_a_ticket_opens_its_task_and_nothing_else(caller: FlaskClient, house: House) -> None:
    mine, other, page = posted(caller), posted(caller), house.app.test_client()
    ticket = mine["stream_url"].partition("?")[2]
    for path in (f"/tasks/{mine['task_id']}", f"/v1/tasks/{mine['task_id']}", f"/stream/{mine['task_id']}"):
        assert page.get(f"{path}?{ticket}").status_code == 200
    assert page.post(f"/v1/tasks/{mine['task_id']}/cancel?{ticket}").status_code == 200
    assert code_of(page.get(f"/tasks/{other['task_id']}?{ticket}")) == (404, "task_not_found")
    assert code_of(page.get(f"/stream/{other['task_id']}?{ticket}")) == (404, "task_not_found")
    stream_id = house.relay.streams.of_owner(next(iter(house.relay.streams._store._kept.values())).subject.owner)[0].id
    assert code_of(page.get(f"/v1/streams/{stream_id}?{ticket}")) == (404, "stream_not_found")
    assert code_of(caller.get(f"/v1/streams/{stream_id}/events")) == (404, "stream_not_found")


def test_a_task_of_a_key_that_was_revoked_meanwhile_is_not_run(house: House, upstream: ScriptedUpstream) -> None:
    caller = house.caller()
    task = posted(caller)
    house.keys.revoke("key-1", 1.0)
    events = followed(house.app.test_client(), task["stream_url"])
    assert_in_order(events)
    assert events[-1].data["error"] == "The key was revoked."
    assert (upstream.requests, house.slots_held()) == ([], 0)


def test_a_task_is_not_listed_among_streams(caller: FlaskClient) -> None:
    posted(caller)
    assert json.loads(caller.get("/v1/streams").data) == {"object": "list", "data": []}
