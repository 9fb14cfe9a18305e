"""credentials -> Caller: which key or client token a request presents, and whether it is in force."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from relay.core.caller import Caller, caller_with_token, expired
from relay.core.credentials import Credentials, invalid_key, network_of, presented_key
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy, digest
from relay.core.tokens import TOKEN_PREFIX, Claims, TokenTimes
from relay.stores.database import StoreError

CACHE_SECONDS = 2.0
CACHED_KEYS_MAX = 10_000


class KeyRecord(Protocol):
    """A key that is in force."""

    @property
    def id(self) -> str: ...

    @property
    def policy(self) -> KeyPolicy: ...

    @property
    def epoch(self) -> int: ...


class Keys(Protocol):
    """The store of keys; each call blocks its greenlet, not the loop."""

    def find(self, digest: str, now: float) -> KeyRecord | None: ...

    def parent(self, key_id: str, token_id: str, now: float) -> KeyRecord | None: ...

    def revoked_among(self, names: set[str]) -> set[str]: ...


class Signer(Protocol):
    """Reads tokens: `names_in` says which key and token id are claimed, `read` what was signed."""

    def names_in(self, token: str) -> tuple[str, str]: ...

    def read(self, token: str, key_id: str, epoch: int) -> Claims | None: ...


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
    """Knows callers by their keys and tokens. Each is looked up every 2 s at most: so long a revocation may take.

    Only what is good is cached: strangers' guesses take no memory. Who guesses too often learns nothing more for a
    while, not even whether a guess was wrong; a good key from the same address passes.
    """

    def __init__(
        self, keys: Keys, failures: Failures, failures_per_minute: int, signer: Signer, token_seconds_max: float
    ) -> None:
        self._keys, self._failures, self._failures_per_minute = keys, failures, failures_per_minute
        self._signer, self._token_seconds_max = signer, token_seconds_max
        self._cache: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    def identify(self, credentials: Credentials) -> Caller:
        """Return the caller.

        Raises RelayError missing_credentials, ambiguous_credentials, invalid_api_key, token_expired, auth_rate_limited,
        origin_not_allowed, model_not_allowed, store_unavailable.
        """
        try:
            caller = self._known(presented_key(credentials))
        except RelayError as error:
            if error.code == "invalid_api_key":
                self._count_failure(credentials.address)
            raise
        caller.check_origin(credentials.origin)
        return caller

    def _count_failure(self, address: str) -> None:
        minute = self._failures.hit(f"failures {network_of(address)}", self._failures_per_minute)
        if not minute.allowed:
            raise RelayError(
                "auth_rate_limited",
                "Too many attempts with a wrong key came from this address.",
                retry_after_seconds=minute.reset_seconds,
            ) from None

    def _known(self, presented: str) -> Caller:
        fingerprint = digest(presented)
        cached = self._cache.get(fingerprint)
        if cached is None or time.monotonic() - cached[0] >= CACHE_SECONDS:
            return self._look_up(presented, fingerprint)
        if cached[1].token_id and cached[1].expires_at <= time.time():
            raise expired()
        return cached[1]

    def _look_up(self, presented: str, fingerprint: str) -> Caller:
        asked_at = time.monotonic()  # a slow answer may be old when it comes
        find = self._caller_with_token if presented.startswith(TOKEN_PREFIX) else self._caller_with_key
        try:
            caller = find(presented)
        except StoreError:
            raise RelayError("store_unavailable", "The key store cannot be reached.", retry_after_seconds=1.0) from None
        if caller is None:
            self._cache.pop(fingerprint, None)
            raise invalid_key()
        self._cache[fingerprint] = (asked_at, caller)
        while len(self._cache) > CACHED_KEYS_MAX:
            self._cache.popitem(last=False)
        return caller

    def _caller_with_key(self, key: str) -> Caller | None:
        record = self._keys.find(digest(key), time.time())
        return None if record is None else Caller(record.id, record.policy)

    def _caller_with_token(self, token: str) -> Caller | None:
        """The names are claims until the signature is seen to be good, and until then they only find its key."""
        key_id, token_id = self._signer.names_in(token)
        record = self._keys.parent(key_id, token_id, time.time()) if key_id and token_id else None
        claims = None if record is None else self._signer.read(token, record.id, record.epoch)
        if record is None or claims is None:
            return None
        return caller_with_token(record.id, record.policy, claims, TokenTimes(time.time(), self._token_seconds_max))


class RevocationWatch:
    """Looks which keys and tokens of the running streams were revoked meanwhile, and cuts those streams."""

    def __init__(self, keys: Keys, in_use: Callable[[], set[str]], cut: Callable[[set[str]], None]) -> None:
        self._keys, self._in_use, self._cut = keys, in_use, cut

    def look(self) -> None:
        """One look; called every 2 s."""
        in_use = self._in_use()
        if in_use:
            self._cut(self._keys.revoked_among(in_use))
