"""What is kept between requests is what gunicorn would have worked out: one contract test for each part of it."""

import email.utils
from typing import Any

import pytest
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import wsgi

from relay.connections import thrift


@pytest.fixture
def cfg(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker's configuration, spared; gunicorn is afterwards as it was."""
    monkeypatch.setattr(wsgi, "WSGIErrorsWrapper", wsgi.WSGIErrorsWrapper)
    monkeypatch.setattr(util, "http_date", util.http_date)
    made = Config()
    made.set("keepalive", 75)
    thrift.spare(made)
    return made


def test_every_setting_says_what_it_said(cfg: Any) -> None:
    fresh = Config()
    fresh.set("keepalive", 75)
    different = [name for name in fresh.settings if repr(getattr(cfg, name)) != repr(getattr(fresh, name))]
    assert different == []
    assert vars(cfg)["keepalive"] == cfg.keepalive == 75


def test_a_response_carries_the_date_of_its_second(cfg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (1_800_000_000.9, 1_800_000_001.0, 1_800_000_001.2):
        monkeypatch.setattr(thrift.time, "time", lambda now=now: now)
        assert email.utils.parsedate_to_datetime(util.http_date()).timestamp() == int(now)
    assert util.http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_responses_take_their_date_from_there(cfg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "http_date", lambda: "the date")
    request = type("Request", (), {"version": (1, 1), "method": "GET", "should_close": lambda self: False})()
    response = wsgi.Response(request, None, cfg)
    response.start_response("200 OK", [("Content-Length", "0")])
    assert "Date: the date\r\n" in response.default_headers()


def test_all_requests_have_one_error_stream(cfg: Any) -> None:
    one, other = (wsgi.base_environ(cfg)["wsgi.errors"] for _ in range(2))
    assert one is other
    assert isinstance(one, thrift._open_errors)
