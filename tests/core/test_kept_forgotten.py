"""A kept stream that nobody can find any more: it stays for its readers, and then gives its memory back."""

from collections.abc import Callable

import pytest

from relay.core.frame_log import Evicted
from relay.core.kept import Kept
from tests.core.keeping import (
    DONE,
    PIECE,
    REFUSED,
    append,
    joined,
    kept_with,
)


def test_what_is_forgotten_is_kept_for_its_readers_alone() -> None:
    kept = kept_with()
    reader = joined(kept)
    append(kept, 2)
    kept.forget()
    append(kept)
    kept.end(DONE)
    for _ in range(3):
        reader.take()
    assert len(reader.got) == 3 * PIECE
    kept.leave(reader)
    assert kept.log.bytes == 0


@pytest.mark.parametrize("forget_first", [True, False])
@pytest.mark.parametrize(
    "end", [lambda kept: kept.end(DONE), lambda kept: kept.refuse(REFUSED)], ids=["ended", "refused"]
)
def test_what_is_forgotten_gives_its_memory_back_once_it_ended(forget_first: bool, end: Callable[[Kept], None]) -> None:
    kept = kept_with()
    append(kept, 2)
    if forget_first:
        kept.forget()
        assert kept.log.bytes > 0, "its producer goes on"
        append(kept)
        end(kept)
    else:
        end(kept)
        assert kept.log.bytes > 0
        kept.forget()
    assert kept.log.bytes == 0
    with pytest.raises(Evicted):
        kept.log.read(0, PIECE)
