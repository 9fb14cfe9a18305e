"""credentials -> Caller: which key a request presents, and whether it is in force."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from relay.core.caller import Caller
from relay.core.credentials import Credentials, invalid_key, network_of, presented_key
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy, digest
from relay.stores.database import StoreError

CACHE_SECONDS = 2.0
CACHED_KEYS_MAX = 10_000


class KeyRecord(Protocol):
    """A key that is in force."""

    @property
    def id(self) -> str: ...

    @property
    def policy(self) -> KeyPolicy: ...


class Keys(Protocol):
    """The store of keys; each call blocks its greenlet, not the loop."""

    def find(self, digest: str, now: float) -> KeyRecord | None: ...

    def revoked_among(self, key_ids: set[str]) -> set[str]: ...


class Allowance(Protocol):
    """An address's minute after a failed attempt."""

    @property
    def allowed(self) -> bool: ...

    @property
    def reset_seconds(self) -> float: ...


class Failures(Protocol):
    """Counts failed attempts per network and minute. May raise RelayError."""

    def hit(self, name: str, per_minute: int) -> Allowance: ...


class Authenticator:
    """Knows callers by their keys. A key is looked up at most every 2 s, so a revocation is in force 2 s later.

    Only keys that exist are cached: strangers' guesses take no memory. Who guesses too often learns nothing more for a
    while, not even whether a guess was wrong; a good key from the same address passes.
    """

    def __init__(self, keys: Keys, failures: Failures, failures_per_minute: int) -> None:
        self._keys, self._failures, self._failures_per_minute = keys, failures, failures_per_minute
        self._cache: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    def identify(self, credentials: Credentials) -> Caller:
        """Return the caller.

        Raises RelayError missing_credentials, ambiguous_credentials, invalid_api_key, auth_rate_limited,
        origin_not_allowed, store_unavailable.
        """
        try:
            caller = self._known(digest(presented_key(credentials)))
        except RelayError as error:
            if error.code == "invalid_api_key":
                self._count_failure(credentials.address)
            raise
        origins = caller.policy.origins
        if origins and credentials.origin is not None and credentials.origin not in origins:
            raise RelayError("origin_not_allowed", "This key may not be used by pages of this origin.")
        return caller

    def _count_failure(self, address: str) -> None:
        minute = self._failures.hit(f"failures {network_of(address)}", self._failures_per_minute)
        if not minute.allowed:
            raise RelayError(
                "auth_rate_limited",
                "Too many attempts with a wrong key came from this address.",
                retry_after_seconds=minute.reset_seconds,
            ) from None

    def _known(self, fingerprint: str) -> Caller:
        cached = self._cache.get(fingerprint)
        if cached is not None and time.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        return self._look_up(fingerprint)

    def _look_up(self, fingerprint: str) -> Caller:
        asked_at = time.monotonic()  # a slow answer may be old when it comes
        try:
            record = self._keys.find(fingerprint, time.time())
        except StoreError:
            raise RelayError("store_unavailable", "The key store cannot be reached.", retry_after_seconds=1.0) from None
        if record is None:
            self._cache.pop(fingerprint, None)
            raise invalid_key()
        caller = Caller(record.id, record.policy)
        self._cache[fingerprint] = (asked_at, caller)
        while len(self._cache) > CACHED_KEYS_MAX:
            self._cache.popitem(last=False)
        return caller


class RevocationWatch:
    """Looks which keys of the running streams were revoked meanwhile, and cuts those streams."""

    def __init__(self, keys: Keys, in_use: Callable[[], set[str]], cut: Callable[[set[str]], None]) -> None:
        self._keys, self._in_use, self._cut = keys, in_use, cut

    def look(self) -> None:
        """One look; called every 2 s."""
        in_use = self._in_use()
        if in_use:
            self._cut(self._keys.revoked_among(in_use))
