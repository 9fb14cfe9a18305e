"""A relayed request whose answer is kept: it begins a stream, or comes back to one that it began before."""

import copy
import time
from dataclasses import replace
from hashlib import sha256
from typing import Any

import flask

from relay.core.caller import Caller
from relay.core.credentials import KeyRevoked
from relay.core.dialects import Dialect
from relay.core.errors import RelayError
from relay.core.event_ids import mint_stream_id, read_event_id
from relay.core.kept import Head, Kept, Subject
from relay.exchange import open_exchange
from relay.streams.production import Abandoned
from relay.web.current import current_relay
from relay.web.events import EVENT_STREAM_HEADERS, answer_headers, is_stream
from relay.web.followed import Followed, Reading
from relay.web.incoming import Incoming
from relay.web.tickets import url_of

IDEMPOTENCY_CHARACTERS_MAX = 255
_RELAYED_ONLY = ("content-length",)


def is_resumable(incoming: Incoming, caller: Caller) -> bool:
    """Whether the answer is to be kept. A body that is not read as a whole cannot be told from another one."""
    if not isinstance(incoming.body, bytes):
        return False
    sent = flask.request.environ
    if "HTTP_IDEMPOTENCY_KEY" in sent or "HTTP_LAST_EVENT_ID" in sent and _resumed_from() is not None:
        return True
    return incoming.streams and (caller.policy.resume or sent.get("HTTP_RELAY_RESUME") == "1")


def resumable(incoming: Incoming, caller: Caller) -> flask.Response:
    """Begin a stream or come back to one, and follow it."""
    relay, after = current_relay(), 0
    resumed_from = _resumed_from()
    if resumed_from is not None:
        stream_id, after = resumed_from
        kept, is_new = relay.streams.find(stream_id, caller.owner), False
        if kept.subject.fingerprint != _fingerprint(incoming):
            raise RelayError("idempotency_mismatch", "Last-Event-ID names the stream of another request.")
    else:
        kept, is_new = relay.streams.claim(_subject(incoming, caller), _claim(caller))
    if is_new:
        relay.streams.begin(kept, RelayedWork(relay, incoming, caller))
    else:
        relay.gate.show(caller, incoming)
    return follow(kept, after, incoming)


def follow(kept: Kept, after: int, incoming: Incoming) -> flask.Response:
    """Answer with what is kept from number `after` on, and with what is still to come."""
    relay = current_relay()
    named = [("Relay-Stream-Id", kept.subject.id), ("Relay-Stream-Url", url_of("streams", kept.subject.id))]
    flask.g.early_headers = named
    with incoming.presence:
        relay.streams.wait_for_head(kept)
    assert kept.head is not None
    if not kept.head.is_stream:  # its pieces have no names that a caller could know
        after = 0
    if after < kept.log.evicted_seq:
        raise evicted()
    headers = [(name, value) for name, value in kept.head.headers if not after or name.lower() not in _RELAYED_ONLY]
    reading = Reading(kept, after, incoming.route.dialect, is_event_source=False)
    return Followed(relay, reading, incoming.presence, [*headers, *named])


def evicted() -> RelayError:
    return RelayError("events_evicted", "What comes behind this event is not kept any more.")


class RelayedWork:
    """The rest of the corridor, walked for the stream's sake. The request's record goes with it: the answer may end
    long after its caller left, and is accounted for then.
    """

    def __init__(self, relay: Any, incoming: Incoming, caller: Caller) -> None:
        self._relay, self._caller = relay, caller
        self.names, self.detach = caller.names, caller.policy.detach
        self.dialect: Dialect = incoming.route.dialect
        self._record, self._streams = incoming.record, incoming.streams
        self._request: Incoming | None = copy.copy(incoming)
        # what becomes of this caller is not what becomes of the stream
        incoming.record = flask.g.record = replace(incoming.record, told=True, known_at=0.0)

    def open(self, presence: Any, stream_id: str) -> Any:
        """The exchange. What was sent is let go: the stream may outlive it by an hour."""
        request, self._request = self._request, None
        assert request is not None
        request.presence, request.stream_id = presence, stream_id
        return open_exchange(self._relay, self._caller, request)

    def head_of(self, upstream: Any) -> Head:
        return Head(upstream.status, tuple(answer_headers(upstream)), is_stream(upstream))

    def empty_head(self) -> Head | None:
        return Head(200, EVENT_STREAM_HEADERS, is_stream=True) if self._streams else None

    def refused(self, error: RelayError) -> None:
        """Account for it."""
        record = self._record
        record.status, record.error, record.upstream_status = error.kind.status, error.code, error.upstream_status
        record.end = {503: "shed", 499: "cancelled"}.get(error.kind.status, record.end)
        if isinstance(error, KeyRevoked):
            record.end = "revoked"
        elif isinstance(error, Abandoned):
            record.end = "client_gone"
        self._relay.accountant.tell(record)


def _resumed_from() -> tuple[str, int] | None:
    """The frame that the caller had last, where it names one of ours; an upstream's own id means nothing here."""
    return read_event_id(flask.request.environ.get("HTTP_LAST_EVENT_ID", ""))


def _claim(caller: Caller) -> str | None:
    """The name under which this owner's stream can be found again."""
    name = sent_idempotency_key()
    return None if name is None else sha256(f"{caller.owner}\n{name}".encode()).hexdigest()


def sent_idempotency_key() -> str | None:
    """The request's Idempotency-Key. Raises RelayError invalid_request for one that is none."""
    name = flask.request.headers.get("Idempotency-Key")
    if name is not None and not 0 < len(name) <= IDEMPOTENCY_CHARACTERS_MAX:
        raise RelayError("invalid_request", f"An Idempotency-Key has 1 to {IDEMPOTENCY_CHARACTERS_MAX} characters.")
    return name


def _subject(incoming: Incoming, caller: Caller) -> Subject:
    return Subject(
        id=mint_stream_id(),
        owner=caller.owner,
        route=incoming.route.path,
        model=incoming.model,
        fingerprint=_fingerprint(incoming),
        created_at=time.time(),
    )


def _fingerprint(incoming: Incoming) -> str:
    return sha256(incoming.route.path.encode() + b"\n" + incoming.body).hexdigest()
