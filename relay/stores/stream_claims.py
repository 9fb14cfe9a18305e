"""Whose a claim is: one stream's, of all processes, however many ask at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from relay.core.errors import RelayError
from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.stream_copy import Copy
from relay.stores.stream_record import claim_key
from relay.stores.stream_writer import Writer
from relay.stores.streams import mismatch


class Claims:
    """Each method raises RelayError store_unavailable: what cannot be looked up must not be paid twice."""

    def __init__(self, link: RedisLink, writer: Writer) -> None:
        self._link, self._writer = link, writer

    def claim(self, copy: Copy) -> str | None:
        """Enter a stream unless its claim is taken: return None, or the name of the stream that has it.

        Raises RelayError idempotency_mismatch where that is about something else.
        """
        subject = copy.kept.subject
        try:
            with required():
                [named] = self._link.ask(self._writer.claiming(copy))
        except BaseException:  # it may have been entered without our hearing of it
            self._writer.later(self._writer.forgetting(subject))
            raise
        if named is None:
            copy.took_entry(None)
            self._writer.add(copy)
            return None
        stream_id, fingerprint = named
        if fingerprint.decode() != subject.fingerprint:
            raise mismatch()
        return str(stream_id.decode())

    def look(self, claim: str) -> str | None:
        """Return the name of the stream that has it."""
        with required():
            [named] = self._link.ask(("GET", claim_key(claim)))
        return None if named is None else str(named.split()[0].decode())


@contextmanager
def required() -> Iterator[None]:
    """What cannot be done without Redis. Raises RelayError store_unavailable."""
    try:
        yield
    except StoreDown:
        raise unavailable() from None


def unavailable() -> RelayError:
    return RelayError("store_unavailable", "The store of streams does not answer.", retry_after_seconds=1.0)
