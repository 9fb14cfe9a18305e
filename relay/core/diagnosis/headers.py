"""Do headers and errors come through, and may a page of the given origin read them?"""

from relay.core.diagnosis.evidence import Answer, Evidence, Finding

# What a stream's head must still say when it arrives.
KEPT = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-content-type-options": "nosniff"}
ASKED_METHOD = "POST"
ASKED_HEADERS = ("authorization", "content-type", "last-event-id")
_OWN_LINES = (
    "Remove nginx's own lines (proxy_hide_header Access-Control-…; add_header Access-Control-…;): the relay sets them."
)


def sent_through(evidence: Evidence) -> Finding | None:
    """Whether each header that a client may send reaches the relay."""
    dressed = evidence.dressed
    if dressed is None or dressed.arrived is None:
        return None
    there = {name.lower() for name in dressed.arrived.headers}
    missing = [name for name in evidence.sent_names if name.lower() not in there]
    if not missing:
        return Finding("request_headers", True, "Request headers arrive.", ", ".join(evidence.sent_names))
    lines = " ".join(f"proxy_set_header {name} $http_{name.lower().replace('-', '_')};" for name in missing)
    says = f"Request headers do not reach the relay: {', '.join(missing)}."
    remedy = f"Remove what empties them, or write: {lines}"
    return Finding("swallowed", False, says, f"sent, but not seen by the relay: {', '.join(missing)}", remedy)


def sent_back(evidence: Evidence) -> Finding | None:
    """Whether the relay's own headers reach the caller."""
    dressed = evidence.dressed
    if dressed is None or dressed.answer.status != 200:
        return None
    answer = dressed.answer
    lost = [name for name, value in KEPT.items() if value not in answer.header(name).lower()]
    lost += [] if answer.header("x-request-id") else ["x-request-id"]
    if lost:
        shown = ", ".join(f"{name}: {answer.header(name) or 'missing'}" for name in lost)
        says = f"Answers lose headers of the relay's: {', '.join(lost)}."
        lines = " ".join(f"proxy_hide_header {name};" for name in lost)
        return Finding("swallowed", False, says, shown, f"Remove: {lines} (or what replaces them)")
    came_back = answer.header("x-request-id")
    shown = "X-Request-Id came back" if came_back == evidence.sent_id else f"X-Request-Id was replaced by {came_back}"
    return Finding("answer_headers", True, "Answer headers come back.", shown)


def errors_pass(evidence: Evidence) -> Finding | None:
    """Whether a refusal arrives as the relay told it, so that SDKs can read it."""
    refusal = evidence.unkeyed
    if refusal is None:
        return None
    if refusal.status == 401 and refusal.code:
        return Finding("errors", True, "Errors arrive as the relay tells them.", refusal.shown)
    shown = f"{refusal.shown}, {refusal.header('content-type') or 'no type'}; a 401 of the relay's was expected"
    says = "Errors are replaced on the way: clients cannot read why they are refused."
    return Finding("errors", False, says, shown, "proxy_intercept_errors off;   (and no error_page for 4xx)")


def origin_arrives(evidence: Evidence) -> Finding | None:
    """Whether the relay would let the page in: only then CORS headers can be missed on the way."""
    stream = evidence.stream
    arrived = None if stream is None else stream.arrived
    if not evidence.origin or arrived is None:
        return None
    if "Origin" not in arrived.headers:
        says = "The header Origin does not reach the relay, which therefore sends no CORS headers."
        remedy = "Remove the proxy_set_header Origin line."
        return Finding("cors_origin", False, says, f"sent: {evidence.origin}", remedy)
    if not arrived.origin_allowed:
        says = "The relay does not let this origin call."
        remedy = f'[cors] origins = ["{evidence.origin}"] in relay.toml'
        return Finding("cors_origin", False, says, f"asked with {evidence.origin}", remedy)
    return Finding("cors_origin", True, "The relay lets this origin call.", evidence.origin)


def preflight(evidence: Evidence) -> Finding | None:
    """What a browser asks before it sends a key."""
    answer = evidence.preflight
    if answer is None:
        return None
    lacks = _lacks(answer, evidence.origin)
    methods = answer.header("access-control-allow-methods").upper()
    headers = answer.header("access-control-allow-headers").lower()
    lacks += [] if ASKED_METHOD in methods else [f"Access-Control-Allow-Methods without {ASKED_METHOD}"]
    lacks += [f"Access-Control-Allow-Headers without {name}" for name in ASKED_HEADERS if name not in headers]
    lacks += [] if 200 <= answer.status < 300 else [answer.shown]
    remedy = "Let OPTIONS through to the relay: no `return 204` for it in nginx, no limit_except, no auth_basic."
    return _cors(evidence, "cors_preflight", "preflight (OPTIONS)", lacks, remedy)


def on_answers(evidence: Evidence) -> Finding | None:
    """CORS headers on an answer that is well."""
    if not evidence.origin or evidence.stream is None:
        return None
    lacks = _lacks(evidence.stream.answer, evidence.origin)
    return _cors(evidence, "cors_answers", "answers with status 200", lacks)


def on_errors(evidence: Evidence) -> Finding | None:
    """CORS headers on an error: without them a page reads "Failed to fetch" instead of the reason."""
    if not evidence.origin or evidence.unkeyed is None:
        return None
    lacks = _lacks(evidence.unkeyed, evidence.origin)
    return _cors(evidence, "cors_errors", f"errors (status {evidence.unkeyed.status})", lacks)


def _lacks(answer: Answer, origin: str) -> list[str]:
    """A browser takes exactly one value, the origin itself or `*` (Fetch standard, CORS check)."""
    allowed = answer.all_of("access-control-allow-origin")
    if allowed in ([origin], ["*"]):
        return []
    return [f"Access-Control-Allow-Origin: {' and '.join(allowed) or 'missing'}"]


def _cors(evidence: Evidence, name: str, where: str, lacks: list[str], remedy: str = _OWN_LINES) -> Finding:
    if not lacks:
        return Finding(name, True, f"CORS headers stand on {where}.", "as a browser wants them")
    if evidence.stream is None:  # nobody has said that the relay lets this origin call
        remedy = f'First see that [cors] origins in relay.toml has "{evidence.origin}". {remedy}'
    return Finding(name, False, f"A browser refuses the {where} to the page.", "; ".join(lacks), remedy)
