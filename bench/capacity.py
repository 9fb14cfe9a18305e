"""The largest step of a ladder that still passes, found with few attempts."""

from collections.abc import Callable, Sequence


def ladder(lowest: int, highest: int, factor: float) -> list[int]:
    """Numbers of streams, each about `factor` times the one before."""
    steps = [lowest]
    while (step := round(steps[-1] * factor)) <= highest:
        steps.append(step)
    return steps


def highest_passing(passes: Callable[[int], bool], steps: Sequence[int], start: int = 0) -> int | None:
    """Index of the last step that passes, walking from `start` by doubling strides, then halving what is between.

    What passes is taken to pass on all steps below. None: not even the first one does.
    """
    low, high = _bracket(passes, len(steps), start)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low if low >= 0 else None


def _bracket(passes: Callable[[int], bool], count: int, start: int) -> tuple[int, int]:
    """An index that passes (-1 for none) and a higher one that does not (`count` for none)."""
    stride = 1
    if passes(start):
        low = start
        while (above := min(low + stride, count - 1)) > low:
            if not passes(above):
                return low, above
            low, stride = above, stride * 2
        return low, count
    high = start
    while high > 0:
        below = max(high - stride, 0)
        if passes(below):
            return below, high
        high, stride = below, stride * 2
    return -1, high
