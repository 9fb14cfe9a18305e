"""Tasks: post one, follow its progress, ask where it stands, cancel it; each under two names."""

import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import flask

from relay.core.caller import Caller
from relay.core.dialects import OPENAI
from relay.core.errors import RelayError
from relay.core.event_ids import mint_stream_id
from relay.core.kept import Head, Kept, Subject
from relay.core.placed_task import PlacedTask
from relay.core.request import FORWARDED, forwarded_headers
from relay.core.routes import TASKS, Route
from relay.core.task_ids import claim_of, mint_task_id, read_task_id, task_id_from
from relay.core.task_order import TaskOrder, read_order, upstream_body
from relay.exchange import enter
from relay.stores.streams import mismatch
from relay.tasks.tasks import Accepted
from relay.web.current import current_relay
from relay.web.errors import language
from relay.web.events import EVENT_STREAM_HEADERS
from relay.web.incoming import Incoming
from relay.web.proxy import read_incoming, relay_request
from relay.web.resumable import sent_idempotency_key
from relay.web.streams import as_json, followed, known, patient, starting_after
from relay.web.task_events import as_alias, as_it_is, iso_time, last_event, standing_of
from relay.web.tickets import holds_ticket, url_of

PROCESS, EVENTS_ALIAS, STATE_ALIAS = "/process", "/stream/<task_id>", "/tasks/<task_id>"
STATE = Route("/v1/tasks/<task_id>", "", method="GET")
EVENTS = Route("/v1/tasks/<task_id>/events", "", method="GET")
CANCEL = Route("/v1/tasks/<task_id>/cancel", "", method="POST")


def blueprint() -> flask.Blueprint:
    """All routes of tasks."""
    routes = flask.Blueprint("tasks", __name__)
    for path in (TASKS.path, PROCESS):
        routes.add_url_rule(path, "create", create, methods=["POST"])
    for path in (STATE.path, STATE_ALIAS):
        routes.add_url_rule(path, "state", state, methods=["GET"])
    routes.add_url_rule(EVENTS.path, "events", events, methods=["GET"])
    routes.add_url_rule(EVENTS_ALIAS, "alias_events", alias_events, methods=["GET"])
    routes.add_url_rule(CANCEL.path, "cancel", cancel, methods=["POST"])
    return routes


def create() -> flask.Response:
    """Accept a task: its first event is kept before anything else happens."""
    return relay_request(TASKS, accepted)


def accepted(incoming: Incoming) -> flask.Response:
    """202 with where to follow it; the same for a task that was accepted before."""
    relay = current_relay()
    caller = enter(relay, incoming)
    order = read_order(incoming.body)
    task_id = order.task_id or _idempotent_id(caller) or mint_task_id()
    incoming.record.model = model = order.model or _default_model(caller)
    subject = _subject(caller, model, incoming.body)
    if not _is_known(task_id, subject):
        _place(incoming, caller, order, subject, task_id)
    relay.gate.show(caller, incoming)
    stream_url, status_url = url_of("tasks", task_id, "/stream/{name}"), url_of("tasks", task_id, "/v1/tasks/{name}")
    response = as_json({"task_id": task_id, "stream_url": stream_url, "status_url": status_url})
    response.status_code = 202
    return response


@patient
def events(task_id: str) -> flask.Response:
    """Replay what comes behind the event that the caller had last, then follow."""
    return _followed(task_id, as_it_is)


@patient
def alias_events(task_id: str) -> flask.Response:
    """The same, with a failure called `error`."""
    return _followed(task_id, as_alias)


def state(task_id: str) -> flask.Response:
    """Where it stands; what came of it, once it has ended."""
    relay, kept, task_id = current_relay(), *_permitted(STATE, task_id)
    told = last_event(kept)
    standing = standing_of(relay.tasks.board.look(task_id), told)
    return as_json(
        {
            "task_id": task_id,
            "stage": standing.stage,
            "progress": standing.progress,
            "updated_at": iso_time(standing.updated_at or kept.subject.created_at),
            "model": kept.subject.model,
            "usage": told.get("usage"),
            "cost_usd": told.get("cost_usd"),
            "result": told.get("response"),
            "error": told.get("error"),
            "expires_at": relay.streams.expires_at(kept),
        }
    )


def cancel(task_id: str) -> flask.Response:
    """End it, whether it runs or waits. Idempotent."""
    kept, task_id = _permitted(CANCEL, task_id)
    current_relay().tasks.cancel(current_relay(), kept)
    return as_json({"task_id": task_id, "status": kept.status if kept.outcome else "cancelled"})


def _place(incoming: Incoming, caller: Caller, order: TaskOrder, subject: Subject, task_id: str) -> None:
    """Whatever may refuse comes first, the rate last: it cannot be given back."""
    relay = current_relay()
    targets = relay.routing.targets_for(subject.model, caller)
    relay.tasks.require_room(relay.settings.tasks.queue_max)
    relay.gate.hit(caller, incoming)
    kept, is_new = relay.streams.claim(subject, claim_of(task_id))
    if not is_new:
        return
    record = incoming.record  # is told when the task ends
    incoming.record = flask.g.record = replace(record, told=True, known_at=0.0)
    placed = PlacedTask(
        id=task_id,
        caller=caller,
        model=subject.model or "",
        body=upstream_body(order, subject.model or ""),
        language=language(),
        headers=_forwarded(targets),
        request_id=record.request_id,
        origin=record.origin,
        placed_at=subject.created_at,
        retry=order.retry,
    )
    try:
        relay.tasks.place(relay, Accepted(placed, kept, record), Head(200, EVENT_STREAM_HEADERS, is_stream=True))
    except RelayError:
        incoming.record = flask.g.record = record
        relay.streams.forget(kept)
        raise


def _subject(caller: Caller, model: str, body: bytes) -> Subject:
    """The owner is part of what the request says: to another owner a task's id is simply taken."""
    fingerprint = sha256(f"{TASKS.path}\n{caller.owner}\n".encode() + body).hexdigest()
    return Subject(mint_stream_id(), caller.owner, TASKS.path, model, fingerprint, time.time())


def _is_known(task_id: str, subject: Subject) -> bool:
    """Whether it was accepted before. Raises RelayError idempotency_mismatch where the id names something else."""
    kept = current_relay().streams.claimed(claim_of(task_id))
    if kept is not None and kept.subject.fingerprint != subject.fingerprint:
        raise mismatch()
    return kept is not None


def _idempotent_id(caller: Caller) -> str:
    """The task that this owner's Idempotency-Key names; nobody else can guess its id."""
    name = sent_idempotency_key()
    if name is None:
        return ""
    return task_id_from(hmac.digest(current_relay().secret, f"task\n{caller.owner}\n{name}".encode(), "sha256"))


def _default_model(caller: Caller) -> str:
    """For a task that names none: the first configured one that this caller may use."""
    settings = current_relay().settings
    configured = [settings.tasks.default_model, *(["demo"] if settings.uses_demo else settings.models.prices)]
    permitted: tuple[str, ...] = caller.policy.models
    usable = [model for model in configured if model and (not permitted or model in permitted)]
    if not usable and not permitted:
        raise RelayError("invalid_request", "Name a 'model': none is configured.", param="model")
    return usable[0] if usable else permitted[0]


def _forwarded(targets: Any) -> dict[str, str]:
    """Of the caller's headers those that may go on to its upstream."""
    names = [name for target in targets for name in target.forward_headers]
    return forwarded_headers(flask.request.headers.get, [*FORWARDED, *names])


def _permitted(route: Route, task_id: str) -> tuple[Kept, str]:
    """The task, for its owner or a ticket's holder; for anybody else the same 404 as if there were none."""
    incoming, streams, name = read_incoming(route), current_relay().streams, read_task_id(task_id)
    owner = None if _holds_ticket(name or "") else known(incoming, TASKS.scope).owner
    kept: Kept | None = streams.claimed(claim_of(name)) if name else None
    if kept is None or name is None or (owner is not None and kept.subject.owner != owner):
        raise _not_found()
    return kept, name


def _holds_ticket(name: str) -> bool:
    try:
        return holds_ticket(name)
    except RelayError as error:
        raise _not_found() if error.code == "stream_not_found" else error from None


def _followed(task_id: str, view: Callable[[Kept], Any]) -> flask.Response:
    kept, _ = _permitted(EVENTS, task_id)
    return followed(view(kept), starting_after(kept.subject.id), OPENAI, flask.g.incoming)


def _not_found() -> RelayError:
    return RelayError("task_not_found", "There is no such task.")
