"""Does the public address lead to the relay at all, and does a key arrive there?"""

from relay.core.diagnosis.evidence import REDIRECTS, Answer, Evidence, Finding, Stream

ALIVE = b'"alive"'
_GATEWAY = (502, 503, 504)
_AUTHORIZATION = "proxy_set_header Authorization $http_authorization;   (instead of what empties or replaces it)"

_UNREACHED = {
    "dns": ("The name in the address cannot be looked up.", "Check the name, or its DNS record."),
    "connect": ("Nobody takes connections at the address.", "Check that nginx runs, its `listen` line, and firewalls."),
    "closed": ("The connection ends before an answer comes.", "Check that it is an HTTP server, and its error log."),
    "silence": (
        "The address takes connections, but does not answer.",
        "Check the `proxy_pass` line and the error log.",
    ),
}
_TLS = {
    "expired": "Renew the certificate, and reload nginx.",
    "not valid for": "Take a certificate for this name, or use the name that it is for.",
    "local issuer": "ssl_certificate must name the whole chain: fullchain.pem, not cert.pem. "
    "(For an authority of your own: --ca-file.)",
    "self-signed": "Take a certificate that browsers trust. (For an authority of your own: --ca-file.)",
    "wrong version number": "This port speaks plain HTTP: write `listen 443 ssl;`, or begin the address with http://.",
}


def reached(evidence: Evidence) -> Finding:
    """Whether /health/live of the relay answers below the address."""
    live = evidence.live
    if live.failure is not None and not live.status:
        return _unreached(live)
    if live.status == 200 and ALIVE in live.body:
        return Finding("reached", True, "The address leads to the relay.", f"{live.seconds * 1000:.0f} ms")
    if live.code == "misdirected_request":
        remedy = "proxy_set_header Host $host;   (and the name in [server] trusted_hosts)"
        return _bad("host", "The relay does not serve the Host that the proxy names.", live.shown, remedy)
    return _elsewhere(evidence) if live.code else _stopped(live) or _elsewhere(evidence)


def _stopped(live: Answer) -> Finding | None:
    """An answer of something before the relay, where it says why."""
    if b"HTTPS port" in live.body:
        return _bad("tls", "This port speaks TLS.", live.shown, "Begin the address with https://.")
    if live.status in REDIRECTS:
        says = "The address sends its callers elsewhere; a POST does not survive that."
        return _bad(
            "redirect", says, f"status {live.status} to {live.header('location')}", "Give the address it names."
        )
    if live.status in (401, 403):
        return _barred(live)
    if live.status in _GATEWAY:
        says = "The proxy answers, but does not reach the relay."
        return _bad("gateway", says, live.shown, "Check `proxy_pass http://127.0.0.1:8000;` and that the relay runs.")
    return None


def _unreached(live: Answer) -> Finding:
    assert live.failure is not None
    if live.failure.kind == "tls":
        remedy = next((text for sign, text in _TLS.items() if sign in live.failure.detail.lower()), "")
        return _bad("tls", "The address cannot be trusted.", live.failure.detail, remedy or "Check the ssl_ lines.")
    says, remedy = _UNREACHED[live.failure.kind]
    return _bad("unreachable", says, live.failure.detail, remedy)


def _elsewhere(evidence: Evidence) -> Finding:
    """Something answers, but it is not /health/live of the relay."""
    live, path = evidence.live, evidence.path
    found = "" if evidence.found_at is None else f"; it answers at the path {evidence.found_at or '/'}"
    if live.code == "route_not_found":
        says = f"The relay is reached, but under another path than {path or '/'}."
        remedy = (
            f'[server] path_prefix = "{path}" in relay.toml, or a slash at the end in nginx: '
            f"location {path}/ {{ proxy_pass http://127.0.0.1:8000/; }}"
        )
        return _bad("path", says, live.shown + found, remedy)
    says = f"Something else than the relay answers at the path {path or '/'}."
    remedy = f"location {path}/ {{ proxy_pass http://127.0.0.1:8000/; }}"
    return _bad("path", says, live.shown + found, remedy)


def admitted(evidence: Evidence) -> Finding | None:
    """Whether a key in `Authorization` opens the relay."""
    plain = evidence.plain
    if plain is None:
        return None
    if plain.answer.status == 200:
        return Finding("key", True, "The key arrives and is good.", plain.answer.shown)
    if evidence.by_other is not None and evidence.by_other.answer.status == 200:
        says = "The header Authorization does not arrive as it was sent (X-API-Key does)."
        return _bad("swallowed", says, plain.answer.shown, _AUTHORIZATION)
    if evidence.unkeyed is not None and evidence.unkeyed.code == "invalid_api_key":
        says = "Something on the way puts credentials of its own into Authorization."
        measured = f"asked without any key: {evidence.unkeyed.shown}"
        return _bad("swallowed", says, measured, _AUTHORIZATION)
    return _refused(plain)


def _refused(plain: Stream) -> Finding:
    answer = plain.answer
    if answer.code == "invalid_api_key":
        return _bad("key", "The relay does not know this key.", answer.shown, "python -m relay keys list")
    if answer.code == "missing_credentials":
        says = "Neither Authorization nor X-API-Key arrives."
        return _bad("swallowed", says, answer.shown, _AUTHORIZATION)
    if answer.status in (401, 403) and not answer.code:
        return _barred(answer)
    if not answer.status or answer.status in _GATEWAY:
        return _bad("refused", "The self-test gets no answer of the relay's.", answer.shown, "Check nginx's error log.")
    return _bad("refused", "The self-test is refused.", answer.shown, "Try again when the reason is gone.")


def _barred(answer: Answer) -> Finding:
    says = "Something before the relay wants credentials of its own."
    shown = f"{answer.shown}, WWW-Authenticate: {answer.header('www-authenticate') or 'none'}"
    return _bad("barred", says, shown, "auth_basic off;   (for the relay's location; and no deny lines)")


def _bad(name: str, says: str, measured: str, remedy: str) -> Finding:
    return Finding(name, False, says, measured, remedy)
