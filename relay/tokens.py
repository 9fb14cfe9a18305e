"""Client tokens as text: signed and read under a secret of each key's own, which its owner's backend may have too."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256

import jwt
import msgspec

from relay.core.keys import is_key_id
from relay.core.tokens import TOKEN_BYTES_MAX, TOKEN_PREFIX, Claims, read_claims

ALGORITHM = "HS256"
_PURPOSE = "relay client tokens"


class TokenTooLong(Exception):
    """More than fits into a header: too many models or origins."""


class TokenSigner:
    """`secret`: the relay's own, from which those of the keys are derived. Nothing here looks at a clock or a store."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._jws = jwt.PyJWS(algorithms=[ALGORITHM])  # whatever a header asks for, no other exists here

    def signing_secret(self, key_id: str, epoch: int) -> str:
        """Return the key's secret for minting offline, 64 hex digits. Another epoch: another secret."""
        about = "\0".join((_PURPOSE, key_id, str(epoch)))
        return hmac.new(self._secret, about.encode(), sha256).hexdigest()

    def sign(self, claims: Claims, key_id: str, epoch: int) -> str:
        """Return the token. Raises TokenTooLong."""
        payload = msgspec.json.encode(claims)
        text = self._jws.encode(payload, self.signing_secret(key_id, epoch), ALGORITHM, headers={"kid": key_id})
        token = TOKEN_PREFIX + text
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenTooLong
        return token

    def names_in(self, token: str) -> tuple[str, str]:
        """Return which key and which token id a text claims, unverified; empty where it is no token."""
        text = token.removeprefix(TOKEN_PREFIX)
        try:
            unverified = self._jws.decode_complete(text, options={"verify_signature": False})
        except jwt.PyJWTError:
            return "", ""
        key_id, claims = str(unverified["header"].get("kid", "")), read_claims(unverified["payload"])
        return (key_id, claims.jti) if is_key_id(key_id) and claims is not None else ("", "")

    def read(self, token: str, key_id: str, epoch: int) -> Claims | None:
        """Return what the token says, if it was signed with this key's secret; else None."""
        text = token.removeprefix(TOKEN_PREFIX)
        try:
            decoded = self._jws.decode_complete(text, self.signing_secret(key_id, epoch), [ALGORITHM])
        except jwt.PyJWTError:
            return None
        # base64 has spare bits: without this several texts would be the same token
        if urlsafe_b64encode(decoded["signature"]).rstrip(b"=").decode() != text.rpartition(".")[2]:
            return None
        return read_claims(decoded["payload"])
