"""Who calls: the identity behind a credential, and what it may do."""

from dataclasses import dataclass

from relay.core.keys import KeyPolicy


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `key_id` names its key in logs, limits and the ledger; it is not the key."""

    key_id: str
    policy: KeyPolicy
