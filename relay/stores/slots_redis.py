"""Concurrency slots in Redis, shared by all processes: leases that expire, so that a killed process leaves none taken.

Each process prolongs the leases that it holds; time is the server's alone.
"""

from collections import defaultdict, deque

from relay.stores.redis_link import RedisLink, StoreDown
from relay.stores.redis_wire import Command, script
from relay.stores.slots import MemorySlots

# The slots of a killed process are back within 15 seconds; a process must miss three renewals to lose one it holds.
LEASE_SECONDS = 10
RENEW_SECONDS = 3
# Releases that wait for Redis to be back. Those beyond are not told: their leases expire.
UNTOLD_MAX = 10_000


class RedisSlots:
    """Slots per key. `mine`: what this process holds; it adopts slots that were given while Redis was away."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._take, self._renew = script("take_slot"), script("renew_slots")
        self._announce, self._count = script("announce_slots"), script("count_slots")
        self._untold: deque[tuple[str, str]] = deque(maxlen=UNTOLD_MAX)
        self.mine = MemorySlots()

    def acquire(self, key_id: str, slots_max: int) -> str | None:
        """Take a slot and return its lease; None where `slots_max` are taken (0: no limit). Raises StoreDown."""
        lease = self.mine.new_lease()
        taking = ("EVAL", self._take, 1, _set(key_id), lease, slots_max, LEASE_SECONDS * 1000)
        try:
            [taken] = self._link.ask(taking)
        except BaseException as error:
            # it may have been taken without our hearing of it, also when we were killed while waiting
            if not isinstance(error, StoreDown) or error.asked:
                self._untold.append((key_id, lease))
            raise
        if not taken:
            return None
        self.mine.adopt(key_id, lease)
        return lease

    def release(self, key_id: str, lease: str) -> bool:
        """Give a slot back, now or when Redis is back; return whether the lease held one. Never raises StoreDown."""
        if not self.mine.release(key_id, lease):
            return False
        self._give_back([(key_id, lease)])
        return True

    def held(self, key_id: str) -> int:
        """Number of slots that the key holds now, in all processes. Raises StoreDown."""
        [held] = self._link.ask(("EVAL", self._count, 1, _set(key_id)))
        return int(held)

    def renew(self) -> None:
        """Prolong what this process holds, in one round trip; enter what Redis does not know. Raises StoreDown."""
        leases, untold = self.mine.leases(), list(self._untold)
        self._untold.clear()
        try:
            [gone, *_] = self._link.ask(self._about(self._renew, leases), *_removals(untold))
        except BaseException:
            self._untold.extend(untold)
            raise
        if gone:
            self._enter([leases[number - 1] for number in gone])

    def _enter(self, leases: list[tuple[str, str]]) -> None:
        self._link.ask(self._about(self._announce, leases))
        given_back_meanwhile = set(leases).difference(self.mine.leases())
        if given_back_meanwhile:
            self._give_back(list(given_back_meanwhile))

    def _give_back(self, leases: list[tuple[str, str]]) -> None:
        try:
            self._link.ask(*_removals(leases))
        except BaseException as error:
            self._untold.extend(leases)
            if not isinstance(error, StoreDown):
                raise

    def _about(self, text: bytes, leases: list[tuple[str, str]]) -> Command:
        keys = [_set(key_id) for key_id, _ in leases]
        return ("EVAL", text, len(keys), *keys, LEASE_SECONDS * 1000, *(lease for _, lease in leases))


def _removals(leases: list[tuple[str, str]]) -> list[Command]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for key_id, lease in leases:
        by_key[key_id].append(lease)
    return [("ZREM", _set(key_id), *names) for key_id, names in by_key.items()]


def _set(key_id: str) -> str:
    return f"relay:slots:{key_id}"
