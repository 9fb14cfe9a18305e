"""The names of tasks: UUIDs (RFC 9562), each claiming the one stream that its events are kept in."""

import re
import secrets
import uuid
from hashlib import sha256

UUID_BYTES = 16
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def mint_task_id() -> str:
    """Return a new task's name, a UUID of version 4."""
    return _uuid4(secrets.token_bytes(UUID_BYTES))


def task_id_from(digest: bytes) -> str:
    """Return the name that these bytes, 16 at least, stand for: who asks under one Idempotency-Key gets one task."""
    return _uuid4(digest[:UUID_BYTES])


def read_task_id(text: str) -> str | None:
    """Return the name as it is kept, or None where it is no UUID in its usual form."""
    name = text.lower()
    return name if _UUID.fullmatch(name) else None


def claim_of(task_id: str) -> str:
    """Return the claim under which the stream of this task's events is found."""
    return sha256(f"task\n{task_id}".encode()).hexdigest()


def _uuid4(random: bytes) -> str:
    return str(uuid.UUID(bytes=random, version=4))
