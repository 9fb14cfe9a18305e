"""Rules beyond type and range, for one value or several together. Each yields the reasons why it is not satisfied.

A rule runs only when all its values were converted; a reason never repeats what may be secret.
"""

import json
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path

from config.sources import from_root

SECRET_BYTES_MIN = 32
SHOWN_MAX = 60
SHOWN_BELOW = 10**18
PORT_MAX = 65_535

_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[1-9][0-9]{0,4}))?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2, token
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# the caller's credential never reaches an upstream
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})
# what frames and routes one message belongs to one connection (RFC 9110 7.6.1), and the relay asks for no compression
_CONNECTION = frozenset({"connection", "proxy-connection", "keep-alive", "te", "trailer", "upgrade", "expect"})
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "accept-encoding"})
_NEVER_FORWARDED = _CREDENTIALS | _CONNECTION | _FRAMING


@dataclass(frozen=True)
class Rule:
    """The settings it needs, `[section] name`, or `name` in one upstream; a problem is told of the first."""

    names: tuple[str, ...]
    reasons: Callable[..., Iterable[str]]


def authority(text: str) -> re.Match[str] | None:
    """host or host:port (RFC 3986 3.2.2, 3.2.3), no user; an IPv6 address in brackets; a port from 1 to 65535."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or int(match["port"] or 1) > PORT_MAX:
        return None
    return match if match["ipv6"] is None or _is_ipv6(match["ipv6"]) else None


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text))
    except AddressValueError:
        return False


def bind(value: str) -> Iterator[str]:
    match = authority(value)
    if match is None or match["port"] is None or (match["name"] or "").isdigit():
        yield f"must be host:port, with a port from 1 to {PORT_MAX}, got {quoted(value)}"


def trusted_hosts(hosts: tuple[str, ...]) -> Iterator[str]:
    for host in hosts:
        if authority(host) is None:
            yield f"must hold host names, each with or without a port, got {quoted(host)}"


def token_secret(secret: str) -> Iterator[str]:
    if secret and len(secret.encode()) < SECRET_BYTES_MIN:
        yield f"must be at least {SECRET_BYTES_MIN} bytes long (try: openssl rand -hex 32)"


def several_workers_share_redis(workers: int, redis_url: str) -> Iterator[str]:
    if workers > 1 and not redis_url:
        yield f"{workers} workers must share their limits: set REDIS_URL, or run one (WEB_CONCURRENCY=1)"


def lame_duck_within_drain(lame_duck_seconds: float, drain_seconds: float) -> Iterator[str]:
    if lame_duck_seconds >= drain_seconds:
        yield f"must be below drain_seconds ({drain_seconds:g}), got {lame_duck_seconds:g}"


def one_stream_fits(stream_bytes_max: int, process_bytes_max: int) -> Iterator[str]:
    if stream_bytes_max > process_bytes_max:
        yield f"must be at most process_bytes_max ({process_bytes_max}), got {stream_bytes_max}"


def database_url(url: str) -> Iterator[str]:
    if url.startswith("postgres://"):
        yield "begins with postgres://; write postgresql://"
    elif not re.fullmatch(r"sqlite:///.+|postgresql(\+psycopg)?://.+", url):
        yield "must begin with sqlite:/// or postgresql:// and name a database"


def redis_url(url: str) -> Iterator[str]:
    if url and not re.fullmatch(r"(rediss?|unix)://.+", url):
        yield "must begin with redis://, rediss:// or unix:// and name a server, or be empty"


def origins(values: tuple[str, ...]) -> Iterator[str]:
    for origin in values:
        yield from _origin(origin)


def _origin(origin: str) -> Iterator[str]:
    """RFC 6454 7: what a browser sends is compared as a string, so anything it never sends is a mistake."""
    scheme, _, host = origin.partition("://")
    if "*" in origin:
        yield f"must not hold a wildcard, credentials are in play: list each origin, got {quoted(origin)}"
    elif origin == "null":
        yield 'must not hold "null": every sandboxed page sends it'
    elif origin != origin.lower() or not _SCHEME.fullmatch(scheme) or authority(host) is None:
        yield f"must hold exact origins, scheme://host or scheme://host:port in lower case, got {quoted(origin)}"
    elif host.endswith(_DEFAULT_PORTS.get(scheme, "/")):
        yield f"must not hold a default port, browsers leave it out, got {quoted(origin)}"


def base_url(url: str) -> Iterator[str]:
    scheme, separator, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not re.fullmatch(r"[!-\[\]-~]+", url) or not separator or scheme.lower() not in ("http", "https"):
        yield "must be an http:// or https:// URL in plain ASCII, without spaces and backslashes"
        return
    if "?" in rest or "#" in rest:
        yield "must have no query and no fragment"
    if "@" in host:
        yield "must have no user name and password (the key comes from api_key_env)"
    elif authority(host) is None:
        yield f"must name a host, and a port from 1 to {PORT_MAX} if any"


def forward_headers(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            yield f"must hold header names, got {quoted(name)}"
        elif name.lower() in _NEVER_FORWARDED:
            yield f"must not hold {quoted(name)}: it is never forwarded"


def ca_file(path: str) -> Iterator[str]:
    if not path:
        return
    bundle: Path = from_root(path)
    try:
        bundle.read_bytes()
    except (OSError, ValueError) as error:
        yield f"{bundle} cannot be read: {getattr(error, 'strerror', error)}"
        return
    try:
        ssl.create_default_context(cafile=str(bundle))
    except ssl.SSLError:
        yield f"{bundle} holds no PEM certificate, or a broken one"


def quoted(value: object) -> str:
    """A value as it may stand in a problem: short, printable, and nothing that looks as if it held a password."""
    if isinstance(value, str):
        return _quoted_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value}" if abs(value) < SHOWN_BELOW else "a very large number"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def _quoted_text(text: str) -> str:
    if "@" in text:
        return "a string with an @"
    return json.dumps(text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}...")


RULES = (
    Rule(("[server] bind",), bind),
    Rule(("[server] trusted_hosts",), trusted_hosts),
    Rule(("[server] workers", "[stores] redis_url"), several_workers_share_redis),
    Rule(("[server] lame_duck_seconds", "[server] drain_seconds"), lame_duck_within_drain),
    Rule(("[auth] token_secret",), token_secret),
    Rule(("[cors] origins",), origins),
    Rule(("[resume] stream_bytes_max", "[resume] process_bytes_max"), one_stream_fits),
    Rule(("[stores] database_url",), database_url),
    Rule(("[stores] redis_url",), redis_url),
)
UPSTREAM_RULES = (
    Rule(("base_url",), base_url),
    Rule(("forward_headers",), forward_headers),
    Rule(("ca_file",), ca_file),
)
