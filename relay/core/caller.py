"""Who calls: the identity behind a credential, and what it may do."""

from dataclasses import dataclass, replace

from relay.core.credentials import invalid_key
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.tokens import NO_LIMITS, SKEW_SECONDS, Claims, TokenLimits, TokenTimes


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `key_id` names its key in logs, limits and the ledger; it is not the key.

    With a client token: `subject` is whom the token was made for (its `sub`, else its id), `token_id` its id, `limits`
    its totals, `expires_at` UTC epoch seconds; for the key itself they are empty. `origins`: of the token alone.
    """

    key_id: str
    policy: KeyPolicy
    subject: str = ""
    token_id: str = ""
    scopes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    limits: TokenLimits = NO_LIMITS
    expires_at: float = 0.0

    @property
    def owner(self) -> str:
        """Whose the streams are that this caller starts: each subject's of a key apart, and the key's own."""
        return f"{self.key_id}/{self.subject}" if self.subject else self.key_id

    @property
    def token_name(self) -> str:
        """What is counted and revoked for the token alone; empty for a key. Two keys may use the same token id."""
        return f"{self.key_id}/{self.token_id}" if self.token_id else ""

    @property
    def names(self) -> tuple[str, ...]:
        """What a revocation may name to end what this caller runs."""
        return (self.key_id, self.token_name) if self.token_id else (self.key_id,)

    def require(self, scope: str) -> None:
        """Raise RelayError scope_not_allowed where a token does not cover `scope`. A key covers all; "" is for all."""
        if scope and self.token_id and scope not in self.scopes:
            raise RelayError("scope_not_allowed", f"This token does not cover '{scope}'.")

    def require_key(self) -> None:
        """Raise RelayError scope_not_allowed for a token: it never makes or ends tokens."""
        if self.token_id:
            raise RelayError("scope_not_allowed", "A client token may not do this; use the key.")

    def check_origin(self, origin: str | None) -> None:
        """Raise RelayError origin_not_allowed for a page of another origin; a token with origins wants one of them."""
        if self.policy.origins and origin is not None and origin not in self.policy.origins:
            raise RelayError("origin_not_allowed", "This key may not be used by pages of this origin.")
        if self.origins and origin not in self.origins:
            raise RelayError("origin_not_allowed", "This token may only be used by pages of its own origins.")


def caller_with_token(key_id: str, policy: KeyPolicy, claims: Claims, times: TokenTimes) -> Caller:
    """Return who calls with a token whose signature was good; whatever it claims, its key's policy is the ceiling.

    Raises RelayError invalid_api_key for a token that lives too long or comes from the future, token_expired, and
    model_not_allowed where the key may use none of its models.
    """
    lifetime_seconds = claims.exp - claims.iat
    if not 0 < lifetime_seconds <= times.seconds_max or max(claims.iat, claims.nbf) > times.now + SKEW_SECONDS:
        raise invalid_key()
    if claims.exp <= times.now:
        raise expired()
    return Caller(
        key_id,
        _narrowed(policy, claims),
        claims.sub or claims.jti,
        claims.jti,
        claims.scopes,
        claims.origins,
        claims.limits,
        claims.exp,
    )


def expired() -> RelayError:
    return RelayError("token_expired", "The client token has expired. Fetch a new one.")


def _narrowed(policy: KeyPolicy, claims: Claims) -> KeyPolicy:
    models = claims.models or policy.models
    if policy.models:
        models = tuple(model for model in models if model in policy.models)
        if not models:  # an empty list would be all of them
            raise RelayError("model_not_allowed", "The key may use none of this token's models.", param="model")
    ceilings = [ceiling for ceiling in (policy.max_output_tokens, claims.max_output_tokens) if ceiling]
    return replace(policy, models=models, max_output_tokens=min(ceilings, default=0))
