"""Run by test_limit_races.py: one of several processes, with many greenlets, that want the same slots or minute.

Arguments: URL, what to do, key, limit, then for slots how many seconds. Waits for a line on standard input, then prints
what came of it as JSON. `live` in Redis counts the slots that are in use by all processes, apart from the leases.
"""

# ruff: noqa: E402, I001
from gevent import monkey

monkey.patch_all()

import json
import os
import random
import sys
import time
from contextlib import suppress

import gevent
import redis
from gevent.pool import Pool

from relay.stores.redis_link import RedisLink
from relay.stores.shared import SharedLimits

GREENLETS = 40
PATIENT_SECONDS = 20.0


class BrokenOff(BaseException):
    """The caller left."""


class Slots:
    """Takes slots, uses them for a moment and gives them back, also when what it does with one is broken off."""

    def __init__(self, limits: SharedLimits, url: str, key_id: str, slots_max: int) -> None:
        self._slots, self._key_id, self._slots_max = limits.slots, key_id, slots_max
        self._count = redis.Redis.from_url(url)
        self.granted = self.refused = self.live_max = 0

    def contend(self, seconds: float) -> dict[str, int]:
        end, pool = time.monotonic() + seconds, Pool(GREENLETS)
        while time.monotonic() < end:
            pool.spawn(self._use_one)
        pool.join()
        return {"granted": self.granted, "refused": self.refused, "live_max": self.live_max}

    def hold(self) -> None:
        """Take one and keep it until this process is killed."""
        assert self._slots.acquire(self._key_id, self._slots_max) is not None
        self._count.incr("live")
        print("holding", flush=True)

    def _use_one(self) -> None:
        lease = self._slots.acquire(self._key_id, self._slots_max)
        if lease is None:
            self.refused += 1
            gevent.sleep(0.001)
            return
        try:
            with suppress(BrokenOff):
                self._use()
        finally:
            self._slots.release(self._key_id, lease)

    def _use(self) -> None:
        self.granted += 1
        self.live_max = max(self.live_max, int(self._count.incr("live")))
        try:
            gevent.sleep(random.random() * 0.01)
            if random.random() < 0.1:
                raise BrokenOff
        finally:
            self._count.decr("live")


def hit(limits: SharedLimits, key_id: str, per_minute: int) -> dict[str, int]:
    """Ten times as many hits as may pass, from all processes at once."""
    states = Pool(GREENLETS).map(lambda _: limits.rates.hit(key_id, per_minute), range(per_minute * 10))
    return {"allowed": sum(state.allowed for state in states), "asked": len(states)}


def main(url: str, deed: str, key_id: str, limit: str, seconds: str = "0") -> None:
    limits = SharedLimits(RedisLink(url, _fail, PATIENT_SECONDS), 4, "deny")
    limits.tend()
    slots = Slots(limits, url, key_id, int(limit))
    if deed == "hold":
        slots.hold()
        time.sleep(60)
        return
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(hit(limits, key_id, int(limit)) if deed == "hit" else slots.contend(float(seconds))), flush=True)


def _fail(where: str, error: BaseException) -> None:
    print(where, error, file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
