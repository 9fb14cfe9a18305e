"""Who calls: the identity behind a credential, and what it may do."""

from dataclasses import dataclass

from relay.core.keys import KeyPolicy


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `key_id` names its key in logs, limits and the ledger; it is not the key.

    With a client token: `subject` is whom the token was made for (its `sub`, else its id), `token_id` its id; both are
    empty for the key itself.
    """

    key_id: str
    policy: KeyPolicy
    subject: str = ""
    token_id: str = ""

    @property
    def owner(self) -> str:
        """Whose the streams are that this caller starts: each subject's of a key apart, and the key's own."""
        return f"{self.key_id}/{self.subject}" if self.subject else self.key_id
