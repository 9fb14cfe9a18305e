"""Who is next: each key in turn, so that one key's thousand tasks do not keep another's one waiting."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Something that waits for its turn. `lane`: within its key; one that is blocked does not block another."""

    @property
    def key_id(self) -> str: ...

    @property
    def lane(self) -> str: ...


W = TypeVar("W", bound=Waiting)


class FairQueue(Generic[W]):
    """The waiting of each key in their order; the keys in turn."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, deque[W]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, item: W) -> None:
        """It comes behind those of its key."""
        self._by_key.setdefault(item.key_id, deque()).append(item)
        self._count += 1

    def next(self, may_run: Callable[[W], bool]) -> W | None:
        """Return the first of the next key whose first may run now; it waits on until it is taken."""
        for key_id in list(self._by_key):
            for first in self._firsts(key_id):
                if may_run(first):
                    return first
        return None

    def take(self, item: W) -> bool:
        """It is its key's turn, and then the others'. Return whether it was waiting."""
        if not self.remove(item):
            return False
        if item.key_id in self._by_key:
            self._by_key.move_to_end(item.key_id)
        return True

    def remove(self, item: W) -> bool:
        """It does not wait any more. Return whether it did."""
        waiting = self._by_key.get(item.key_id)
        if waiting is None or item not in waiting:
            return False
        waiting.remove(item)
        self._count -= 1
        if not waiting:
            del self._by_key[item.key_id]
        return True

    def all(self) -> list[W]:
        """Everybody who waits, key by key."""
        return [item for waiting in self._by_key.values() for item in waiting]

    def _firsts(self, key_id: str) -> list[W]:
        """The first of each lane; asking for them may take time, and others come and go meanwhile."""
        firsts: dict[str, W] = {}
        for item in self._by_key.get(key_id, ()):
            firsts.setdefault(item.lane, item)
        return list(firsts.values())
