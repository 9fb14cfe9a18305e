"""What a caller asks for: read once, checked once, forwarded as it came."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from relay.core.errors import RelayError
from relay.core.reading import read

MODEL_CHARACTERS_MAX = 128

# What goes on to any upstream; each upstream's configuration may name more. Hop-by-hop and credential headers never do.
FORWARDED = ("content-type", "accept", "traceparent", "tracestate")
NEVER_FORWARDED = frozenset(
    {"authorization", "x-api-key", "cookie", "host", "connection", "keep-alive", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "content-length", "expect", "accept-encoding"}
    | {"proxy-authorization", "proxy-connection", "proxy-authenticate"}
)


class Ask(msgspec.Struct):
    """The members of a JSON body that the relay itself needs."""

    model: str = ""
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None

    @property
    def asks_usage(self) -> bool:
        """Whether the caller wants the usage frame itself."""
        return bool(self.stream_options and self.stream_options.get("include_usage"))


_ask = msgspec.json.Decoder(Ask)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any_values: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_COUNTED = ("model", "stream", "stream_options")


def read_ask(body: bytes) -> Ask:
    """Return what a JSON body asks for. Raises RelayError invalid_request."""
    try:
        ask = _ask.decode(body)
    except msgspec.ValidationError as error:  # its text names the member and the types, never the value
        raise RelayError("invalid_request", f"The request body is not valid: {_place(str(error))}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _not_json() from None
    if len(ask.model) > MODEL_CHARACTERS_MAX:
        raise RelayError("invalid_request", f"'model' is longer than {MODEL_CHARACTERS_MAX} characters.", param="model")
    _refuse_other_spellings(_members_of(body))
    if b"\\u" in body or any(body.count(b'"%s"' % name.encode()) > 1 for name in _COUNTED):
        _refuse_second_names(body)
    return ask


def with_usage_asked(body: bytes, ask: Ask) -> bytes:
    """The body with `stream_options.include_usage`; all else stays as the caller wrote it."""
    if b'"stream_options"' in body or b"\\u" in body:
        options = {**(ask.stream_options or {}), "include_usage": True}
        return msgspec.json.encode({**_members_of(body), "stream_options": options})
    head, _, rest = body.partition(b"{")
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return head + b'{"stream_options":{"include_usage":true}' + comma + rest


def seed_body(body: bytes) -> bytes:
    """The body of `/api/chat/stream` as a chat completion: streamed, and defaults only for what is absent."""
    members = _members_of(body)
    if read(_any_values, body) is None:
        raise _not_json()
    unknown = set(members) - {"model", "messages", "temperature", "max_tokens", "stream"}
    if unknown or "messages" not in members or "model" not in members:
        raise RelayError("invalid_request", "The body takes model, messages, temperature and max_tokens.")
    return msgspec.json.encode({"temperature": 0.7, "max_tokens": 2000, **members, "stream": True})


def forwarded_headers(sent: Callable[[str], str | None], names: Iterable[str]) -> dict[str, str]:
    """The caller's headers that may go to the upstream. What `Connection` nominates stays here (RFC 9110 7.6.1)."""
    connection = sent("connection")
    nominated = {option.strip().lower() for option in connection.split(",")} if connection else ()
    values: dict[str, str] = {}
    for name in (*FORWARDED, *names):
        value = sent(name)
        if value is not None and name.lower() not in NEVER_FORWARDED and name.lower() not in nominated:
            values[name] = value
    return values


def _members_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The body's members, each as it was written."""
    try:
        return _members.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _not_json() from None


def _not_json() -> RelayError:
    return RelayError("invalid_request", "The request body is not a JSON object.")


def _place(problem: str) -> str:
    return problem if len(problem) <= MODEL_CHARACTERS_MAX else "a member has the wrong type"


def _refuse_other_spellings(members: Mapping[str, object]) -> None:
    """Servers in Go match names without regard to case: the upstream would bill what the relay did not check."""
    if any(name not in _COUNTED and name.casefold() in _COUNTED for name in members):
        raise RelayError("invalid_request", "Write 'model', 'stream' and 'stream_options' in lower case.")


def _refuse_second_names(body: bytes) -> None:
    """A member named twice would let the relay check one model and the upstream bill another."""
    objects: list[list[tuple[str, Any]]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        objects[:] = [pairs]  # the outermost object is read last

    try:
        json.loads(body, object_pairs_hook=keep)
    except (ValueError, RecursionError):
        raise _not_json() from None
    names = [name for pairs in objects for name, _ in pairs]
    if any(names.count(name) > 1 for name in _COUNTED):
        raise RelayError("invalid_request", "A member of the request body is named twice.")
