"""Whether frames came as they were sent, or in heaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

# Two frames came together where less than this share of the time between them was left.
TOGETHER = 0.25
# A network's hiccup joins some; whoever collects frames joins at least this share.
JOINED_SHARE = 0.5
# ... and holds the first of a heap back for several intervals.
LATE_INTERVALS = 2.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame. Milliseconds, each by its own side's clock."""

    number: int
    sent_ms: float
    came_ms: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """`late_ms`: how much longer the slowest frame took than the fastest, whatever the clocks say. `heaps`: groups
    of frames that came together; as many as frames where each came by itself.
    """

    frames: int
    sent_ms: float
    came_ms: float
    late_ms: float
    heaps: int
    is_held_back: bool


def judge(arrivals: Sequence[Arrival]) -> Delivery | None:
    """None: too few frames to tell."""
    if len(arrivals) < 3:
        return None
    gaps = [(later.sent_ms - one.sent_ms, later.came_ms - one.came_ms) for one, later in pairwise(arrivals)]
    joined = sum(came < sent * TOGETHER for sent, came in gaps)
    ways = [arrival.came_ms - arrival.sent_ms for arrival in arrivals]
    late_ms = max(ways) - min(ways)
    is_late = late_ms >= LATE_INTERVALS * median(sent for sent, _ in gaps)
    return Delivery(
        frames=len(arrivals),
        sent_ms=arrivals[-1].sent_ms - arrivals[0].sent_ms,
        came_ms=arrivals[-1].came_ms - arrivals[0].came_ms,
        late_ms=late_ms,
        heaps=len(arrivals) - joined,
        is_held_back=is_late and joined >= JOINED_SHARE * len(gaps),
    )
