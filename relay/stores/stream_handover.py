"""A stream goes from one process to another: what it was so far is in Redis, and the next one goes on from there."""

from relay.core.frame_log import FrameLog
from relay.core.kept import Kept
from relay.stores.redis_link import RedisLink
from relay.stores.stream_copy import Copy
from relay.stores.stream_record import asking, log_key, read_piece, read_record
from relay.stores.stream_writer import Writer
from relay.stores.streams import MemoryStreams


class Handover:
    """Who may go on is not decided here."""

    def __init__(self, link: RedisLink, memory: MemoryStreams, writer: Writer) -> None:
        self._link, self._memory, self._writer = link, memory, writer

    def write(self, kept: Kept) -> bool:
        """Return whether Redis has all of it now."""
        self._writer.flush()
        return isinstance(kept.keeper, Copy) and not kept.keeper.is_behind

    def release(self, kept: Kept) -> None:
        """Another process goes on with it: tell no more of it."""
        self._writer.release(kept.subject)
        self._memory.release(kept)

    def take_over(self, stream_id: str, claim: str) -> Kept | None:
        """Go on with it here; None where it is not known any more, or has ended. Raises StoreDown."""
        reply, entries = self._link.ask(asking(stream_id), ("XRANGE", log_key(stream_id), "-", "+"))
        record = read_record(reply)
        if record is None or record.head is None or record.outcome is not None:
            return None
        kept = Kept(
            record.subject, self._memory.keeping.stream_bytes_max, self._memory, FrameLog(self._memory.tally),
            head=record.head,
        )  # fmt: skip
        for before, last, data in (read_piece(fields[1]) for _, fields in entries):
            if before > kept.log.last_seq:  # what is between is not kept any more
                kept.log.skip_to(before)
            kept.log.append(data, last)
        copy = Copy(kept, claim, self._memory, self._writer.mark)
        copy.stands(record)
        kept.keeper = copy
        self._memory.adopt(kept)
        self._writer.add(copy)
        return kept
