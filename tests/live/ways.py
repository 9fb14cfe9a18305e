"""Ways through nginx to a relay, well and badly configured, and what a doctor must find on each."""

from dataclasses import dataclass

ORIGIN = "https://app.example"


@dataclass(frozen=True)
class Way:
    """`server`: the inside of nginx's server, RELAY being the relay's address. `found`: what is wrong with it, in the
    order of the findings. `path`: of the address that the doctor is given; `silence_seconds`: that it tries.
    """

    server: str
    found: tuple[str, ...] = ()
    path: str = ""
    origin: str = ORIGIN
    silence_seconds: int = 0
    says: str = ""


def _location(lines: str, more: str = "") -> str:
    return f"location / {{ proxy_pass http://RELAY; {lines} }} {more}"


_HTTP11 = "proxy_http_version 1.1;"
_ALL_CORS = ("cors_preflight", "cors_answers", "cors_errors")

# What the tested relay keeps silent about: 1.5 s before a head, 3.5 s in a stream.
WAYS = {
    "stock": Way(_location(_HTTP11), silence_seconds=5),
    "thorough": Way(
        _location(
            _HTTP11 + 'proxy_set_header Connection ""; proxy_set_header Host $host; proxy_buffering off; gzip off;'
            "proxy_set_header X-Request-Id $request_id; proxy_read_timeout 60s; proxy_request_buffering off;"
        )
    ),
    "below a path": Way("location /sse/ { proxy_pass http://RELAY/; " + _HTTP11 + " }", path="/sse"),
    # INNER is the stock way: it takes X-Accel-Buffering for itself, and the outer one is left as nginx comes.
    "buffering": Way("location / { proxy_pass http://INNER; }", ("buffering",), says="in one heap"),
    "small buffers": Way(
        _location(
            "proxy_ignore_headers X-Accel-Buffering;"
            "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 1k;"
        ),
        ("http10_to_relay", "buffering"),
        says="heaps",
    ),
    "gzip": Way(_location(_HTTP11 + "gzip on; gzip_types text/event-stream; gzip_min_length 0;"), ("gzip",)),
    "http 1.0 to the relay": Way(_location(""), ("http10_to_relay",), says="HTTP/1.0"),
    "http 1.0 to the caller": Way(
        _location(_HTTP11 + "chunked_transfer_encoding off;"), ("http10_to_caller",), says="no Transfer-Encoding"
    ),
    "idle before the head": Way(
        _location(_HTTP11 + "proxy_read_timeout 1s;"), ("idle",), silence_seconds=5, says="before the answer's head"
    ),
    "idle in a stream": Way(
        _location(_HTTP11 + "proxy_read_timeout 2s;"), ("idle",), silence_seconds=5, says="cut after 2."
    ),
    "preflight answered": Way(
        _location(_HTTP11 + "if ($request_method = OPTIONS) { return 204; }"), ("cors_preflight",), says="missing"
    ),
    "no cors": Way(_location(_HTTP11 + "proxy_hide_header Access-Control-Allow-Origin;"), _ALL_CORS, says="missing"),
    "no cors on errors": Way(
        _location(
            _HTTP11 + f"proxy_hide_header Access-Control-Allow-Origin;add_header Access-Control-Allow-Origin {ORIGIN};"
        ),
        ("cors_errors",),
    ),
    "cors twice": Way(
        _location(_HTTP11 + f"add_header Access-Control-Allow-Origin {ORIGIN} always;"), _ALL_CORS, says=f"{ORIGIN} and"
    ),
    "no origin": Way(_location(_HTTP11 + 'proxy_set_header Origin "";'), ("cors_origin",), says="does not reach"),
    "another origin": Way(
        _location(_HTTP11), ("cors_origin",), origin="https://other.example", says='origins = ["https://other.example"]'
    ),
    "no authorization": Way(
        _location(_HTTP11 + 'proxy_set_header Authorization "";'), ("swallowed",), says="missing_credentials"
    ),
    "another authorization": Way(
        _location(_HTTP11 + 'proxy_set_header Authorization "Basic Zm9vOmJhcg==";'),
        ("swallowed",),
        says="invalid_api_key",
    ),
    "no last event id": Way(
        _location(_HTTP11 + 'proxy_set_header Last-Event-ID ""; proxy_set_header X-API-Key "";'),
        ("swallowed",),
        says="not seen by the relay: X-API-Key, Last-Event-ID",
    ),
    "no request id back": Way(
        _location(_HTTP11 + "proxy_hide_header X-Request-Id;"), ("swallowed",), says="x-request-id: missing"
    ),
    "errors replaced": Way(
        _location(
            _HTTP11 + "proxy_intercept_errors on; error_page 401 @no;", 'location @no { return 401 "<h1>No</h1>"; }'
        ),
        ("errors", "cors_errors"),
    ),
    "path not taken off": Way(
        "location /sse/ { proxy_pass http://RELAY; } location / { proxy_pass http://RELAY; }",
        ("path",),
        path="/sse",
        says='path_prefix = "/sse"',
    ),
    "path unknown": Way(
        _location(_HTTP11, "location /ai/ { return 404; }"), ("path",), path="/ai/x", says="at the path /"
    ),
    "nobody behind": Way("location / { proxy_pass http://127.0.0.1:1; }", ("gateway",), says="502"),
    "redirect": Way("return 301 https://relay.example$request_uri;", ("redirect",), says="https://relay.example"),
    "barred": Way(
        _location(_HTTP11 + 'auth_basic "closed"; auth_basic_user_file /dev/null;'),
        ("barred",),
        says='Basic realm="closed"',
    ),
}
