"""Who answers at the address, and whether a key arrives there."""

from typing import Any

import pytest

from relay.core.diagnosis.evidence import Answer, Failure
from tests.core.diagnosis.healthy import STREAM, UNKEYED, refused, wrong


def failing(kind: str, detail: str = "x") -> Answer:
    return Answer(failure=Failure(kind, detail))


def error(status: int, code: str) -> Answer:
    return Answer(status, body=b'{"error":{"code":"%b"}}' % code.encode())


@pytest.mark.parametrize(
    ("live", "name", "remedy"),
    [
        (failing("dns"), "unreachable", "DNS"),
        (failing("connect"), "unreachable", "listen"),
        (failing("closed"), "unreachable", "HTTP server"),
        (failing("silence"), "unreachable", "proxy_pass"),
        (failing("tls", "the certificate is refused: certificate has expired"), "tls", "Renew"),
        (failing("tls", "Hostname mismatch, certificate is not valid for 'x'"), "tls", "this name"),
        (failing("tls", "unable to get local issuer certificate"), "tls", "fullchain.pem"),
        (failing("tls", "self-signed certificate"), "tls", "--ca-file"),
        (failing("tls", "the TLS handshake fails: wrong version number"), "tls", "listen 443 ssl;"),
        (failing("tls", "something new"), "tls", "ssl_"),
        (Answer(400, body=b"<h1>The plain HTTP request was sent to HTTPS port"), "tls", "https://"),
        (Answer(301, headers=(("Location", "https://b.example/"),)), "redirect", "the address it names"),
        (Answer(502, body=b"<html>"), "gateway", "proxy_pass"),
        (error(421, "misdirected_request"), "host", "proxy_set_header Host $host;"),
        (Answer(401, headers=(("WWW-Authenticate", "Basic"),)), "barred", "auth_basic off;"),
        (Answer(403, body=b"<html>"), "barred", "auth_basic off;"),
        (error(404, "route_not_found"), "path", 'path_prefix = "/sse"'),
        (Answer(404, body=b"<html>"), "path", "location /sse/"),
        (Answer(200, body=b"<html>"), "path", "location /sse/"),
    ],
)
def test_where_the_relay_is_not_reached_that_alone_is_told(live: Answer, name: str, remedy: str) -> None:
    (finding,) = wrong(live=live)
    assert finding.name == name
    assert remedy in finding.remedy
    assert finding.measured


def test_where_the_relay_is_found_elsewhere_it_is_said() -> None:
    (finding,) = wrong(live=Answer(404), found_at="")
    assert "it answers at the path /" in finding.measured


@pytest.mark.parametrize(
    ("worse", "name", "measured"),
    [
        ({"plain": refused(401, "missing_credentials"), "by_other": STREAM}, "swallowed", "missing_credentials"),
        ({"plain": refused(401, "missing_credentials"), "by_other": refused(401)}, "swallowed", "missing_credentials"),
        ({"plain": refused(401, "invalid_api_key"), "by_other": refused(401)}, "key", "invalid_api_key"),
        (
            {"plain": refused(401, "invalid_api_key"), "unkeyed": Answer(401, headers=UNKEYED.headers, body=refused(
                401, "invalid_api_key").answer.body)},
            "swallowed",
            "without any key",
        ),
        ({"plain": refused(401, headers=(("WWW-Authenticate", "Basic"),))}, "barred", "Basic"),
        ({"plain": refused(429, "too_many_streams")}, "refused", "too_many_streams"),
        ({"plain": refused(502)}, "refused", "502"),
        ({"plain": refused(404, "route_not_found")}, "refused", "route_not_found"),
    ],
)  # fmt: skip
def test_a_key_that_does_not_open_is_told_apart(worse: dict[str, Any], name: str, measured: str) -> None:
    (finding,) = wrong(**{"dressed": None, "silent": None, **worse})
    assert (finding.name, measured in finding.measured) == (name, True)
