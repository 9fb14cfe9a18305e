"""Where there is no room for more requests, and where there is none for more guesses."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from config.schema import Auth, Server
from relay.core.routes import MODELS
from tests.house import ASK, CHAT, House
from tests.live.bench.upstream import ScriptedUpstream
from tests.web.test_proxy import FLAT, POSTED, code_of


def test_where_there_is_no_room_nothing_else_is_asked(
    caller: FlaskClient, house: House, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither who calls nor what: a refusal costs next to nothing."""
    monkeypatch.setattr(house.relay.capacity, "_is_full", lambda: True)
    monkeypatch.setattr(house.relay.authenticator, "identify", pytest.fail)
    unread = Unreadable()
    answers = [caller.post(route.path, input_stream=unread, content_length=100) for route in POSTED]
    answers.append(caller.get(MODELS.path))
    openai_shaped = [answer for answer, route in zip(answers, [*POSTED, MODELS], strict=True) if route.path != FLAT]
    assert {code_of(answer) for answer in openai_shaped} == {(503, "overloaded")}
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["Retry-After"] for answer in answers} <= {"1", "2", "3", "4", "5"}
    assert all(1_000 <= int(answer.headers["retry-after-ms"]) <= 5_000 for answer in answers)
    assert not any("x-should-retry" in answer.headers for answer in answers)
    assert upstream.requests == []
    assert {(line["end"], line["key_id"]) for line in house.log_lines()} == {("shed", None)}


class Unreadable:
    """A body that nobody may read."""

    def tell(self) -> int:
        return 0

    def seek(self, *_: int) -> int:
        return 100

    def close(self) -> None: ...

    def read(self, *_: object) -> bytes:
        raise AssertionError("read")

    readline = readlines = __iter__ = read


def test_where_there_is_no_room_health_is_still_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.relay.capacity, "_is_full", lambda: True)
    stranger = house.app.test_client()
    assert [stranger.get(f"/health/{kind}").status_code for kind in ("live", "ready")] == [200, 200]
    assert stranger.get("/metrics").status_code == 200


def test_a_guesser_behind_a_proxy_is_known_by_its_address(build: Callable[..., House]) -> None:
    house = build(server=Server(trusted_proxies=1), auth=Auth(failures_per_minute=1))
    guess = house.caller("rk_wrong")
    told = [guess.post(CHAT, json=ASK, headers={"X-Forwarded-For": f"10.0.0.9, 203.0.113.{n}"}) for n in (1, 1, 2)]
    codes = [code_of(answer)[1] for answer in told]
    assert codes == ["invalid_api_key", "auth_rate_limited", "invalid_api_key"]
    assert told[1].headers["x-should-retry"] == "false"
