"""Concurrency slots in the memory of one process: who holds how many."""

from collections import Counter


class MemorySlots:
    """Slots per key. In one process a slot cannot outlive its holder, so it needs no lease."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def acquire(self, key_id: str, slots_max: int) -> bool:
        """Take a slot unless `slots_max` are taken (0: no limit); return whether it was."""
        if slots_max and self._held[key_id] >= slots_max:
            return False
        self._held[key_id] += 1
        return True

    def release(self, key_id: str) -> None:
        """Give one slot back."""
        self._held[key_id] -= 1
        if self._held[key_id] <= 0:
            del self._held[key_id]

    def held(self, key_id: str) -> int:
        """Number of slots that the key holds now."""
        return self._held.get(key_id, 0)
