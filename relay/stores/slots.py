"""Concurrency slots in the memory of one process: who holds which."""

import secrets
from itertools import count


class MemorySlots:
    """Slots per key, each with a lease that gives it back once. Here a lease never expires: its holder cannot die
    alone.
    """

    def __init__(self) -> None:
        # other processes' leases stand beside ours in a shared store
        prefix = secrets.token_hex(8)
        self._names = (f"{prefix}-{number}" for number in count())
        self._held: dict[str, set[str]] = {}

    def acquire(self, key_id: str, slots_max: int) -> str | None:
        """Take a slot and return its lease; None where `slots_max` are taken (0: no limit)."""
        if slots_max and self.held(key_id) >= slots_max:
            return None
        lease = self.new_lease()
        self.adopt(key_id, lease)
        return lease

    def release(self, key_id: str, lease: str) -> bool:
        """Give a slot back; return whether the lease held one. Anything else is a no-op."""
        leases = self._held.get(key_id, set())
        if lease not in leases:
            return False
        leases.remove(lease)
        if not leases:
            del self._held[key_id]
        return True

    def held(self, key_id: str) -> int:
        """Number of slots that the key holds now."""
        return len(self._held.get(key_id, ()))

    def leases(self) -> list[tuple[str, str]]:
        """All slots that are held: key and lease of each."""
        return [(key_id, lease) for key_id, leases in self._held.items() for lease in leases]

    def new_lease(self) -> str:
        """Return a name that no other lease has, in no process."""
        return next(self._names)

    def adopt(self, key_id: str, lease: str) -> None:
        """Hold a slot that another store gave."""
        self._held.setdefault(key_id, set()).add(lease)
