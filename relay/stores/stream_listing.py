"""Which streams Redis knows: of one owner, or of all."""

from relay.core.kept import Summary
from relay.stores.redis_link import RedisLink
from relay.stores.stream_record import asking, owner_key, read_record

# How many are looked at with one question.
PAGE = 128


class Listing:
    """Each method raises StoreDown."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def of_owner(self, owner: str) -> list[Summary]:
        """All streams of this owner, the newest last."""
        [ids] = self._link.ask(("ZRANGE", owner_key(owner), 0, -1))
        return self._summaries([stream_id.decode() for stream_id in ids])

    def all(self) -> list[Summary]:
        """All streams, the newest last."""
        ids, cursor = set[str](), b"0"
        while True:
            [(cursor, lists)] = self._link.ask(("SCAN", cursor, "MATCH", owner_key("*"), "COUNT", 1000))
            for members in self._link.ask(*(("ZRANGE", name, 0, -1) for name in lists)) if lists else ():
                ids.update(stream_id.decode() for stream_id in members)
            if cursor == b"0":
                return self._summaries(list(ids))

    def _summaries(self, ids: list[str]) -> list[Summary]:
        found = []
        for start in range(0, len(ids), PAGE):
            for reply in self._link.ask(*map(asking, ids[start : start + PAGE])):
                record = read_record(reply)
                if record is not None and record.refusal is None:
                    found.append(record.summary)
        return sorted(found, key=lambda summary: summary.created_at)
