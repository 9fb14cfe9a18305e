"""Run by test_shared.py: many greenlets of a patched process want slots from a Redis that was stopped meanwhile.

Arguments: URL, budget in seconds. Says that it is ready, waits for a line on standard input, then prints what was seen
as JSON.
"""

# ruff: noqa: E402, I001
from gevent import monkey

monkey.patch_all()

import json
import sys
import time

import gevent
from gevent.pool import Pool

from relay.stores.redis_link import RedisLink
from relay.stores.shared import TEND_SECONDS, SharedLimits

GREENLETS = 200
TICK_SECONDS = 0.002


def wait_of_one(number: int) -> float:
    """Seconds until it is admitted; they come one by one during the first tenth of a second."""
    gevent.sleep(number / GREENLETS / 10)
    begun = time.monotonic()
    assert LIMITS.slots.acquire(f"key_{number}", 4) is not None
    assert LIMITS.rates.hit(f"key_{number}", 4).allowed
    return time.monotonic() - begun


def tick(pauses: list[float]) -> None:
    while True:
        begun = time.monotonic()
        gevent.sleep(TICK_SECONDS)
        pauses.append(time.monotonic() - begun - TICK_SECONDS)


def tend() -> None:
    while True:
        gevent.sleep(TEND_SECONDS)
        LIMITS.tend()


if __name__ == "__main__":
    LIMITS = SharedLimits(RedisLink(sys.argv[1], lambda where, error: None, float(sys.argv[2])), 4, "local")
    LIMITS.tend()
    assert not LIMITS.degraded
    print("ready", flush=True)
    sys.stdin.readline()
    pauses: list[float] = []
    background = [gevent.spawn(tick, pauses), gevent.spawn(tend)]
    waits = Pool(GREENLETS).map(wait_of_one, range(GREENLETS))
    gevent.sleep(2 * TEND_SECONDS)
    gevent.killall(background)
    seen = {"admitted": len(waits), "longest_wait_seconds": max(waits), "degraded": LIMITS.degraded}
    print(json.dumps(seen | {"ticks": len(pauses), "pause_seconds": max(pauses)}))
