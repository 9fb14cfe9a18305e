"""Tokens that no relay may take, made from one that it would: each forgery under its name."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(head: Any, claims: Any, secret: str, algorithm: str = "sha256") -> str:
    text = f"{encoded(head)}.{encoded(claims)}"
    return f"ek_{text}.{encoded(hmac.new(secret.encode(), text.encode(), algorithm).digest())}"


class Forger:
    """`claims`, `kid` and `secret` of a good token; `other_kid` and `other_secret`: of another key's owner."""

    def __init__(self, claims: dict[str, Any], kid: str, secret: str, other_kid: str, other_secret: str) -> None:
        self.claims, self.kid, self.secret = claims, kid, secret
        self.other_kid, self.other_secret = other_kid, other_secret

    def token(self, algorithm: str = "sha256", secret: str | None = None, head: Any = None, **claims: Any) -> str:
        head = {"alg": "HS256", "typ": "JWT", "kid": self.kid} if head is None else head
        kept = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        return signed(head, kept, self.secret if secret is None else secret, algorithm)

    def all(self) -> Iterator[tuple[str, str]]:
        """Names and tokens. Every one but the last of each kind differs in one thing from a good token."""
        yield from self._heads()
        yield from self._secrets()
        yield from self._shapes()
        yield from self._times()
        yield from self._claims()

    def tampered(self) -> Iterator[str]:
        """One character changed, at every place of the token, to its neighbour in the alphabet."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        token = self.token()
        for place in range(3, len(token)):
            if token[place] != ".":
                other = alphabet[alphabet.index(token[place]) ^ 1]
                yield token[:place] + other + token[place + 1 :]

    def _heads(self) -> Iterator[tuple[str, str]]:
        for name in ("none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256"):
            yield f"alg {name!r}", self.token(head={"alg": name, "typ": "JWT", "kid": self.kid})
        unsigned = f"ek_{encoded({'alg': 'none', 'kid': self.kid})}.{encoded(self.claims)}."
        yield "alg none, unsigned", unsigned
        yield "HS512 for true", self.token("sha512", head={"alg": "HS512", "kid": self.kid})
        yield "HS384 for true", self.token("sha384", head={"alg": "HS384", "kid": self.kid})
        yield "no alg", self.token(head={"kid": self.kid})
        yield "no kid", self.token(head={"alg": "HS256"})
        for kid in ("", "key_unknown000000000", "../../dev/null", "' OR '1'='1", 7, None, [self.kid], "key_\x00", "*"):
            yield f"kid {kid!r}", self.token(head={"alg": "HS256", "kid": kid})
        yield "kid of another key", self.token(head={"alg": "HS256", "kid": self.other_kid})
        yield "unknown crit", self.token(head={"alg": "HS256", "kid": self.kid, "crit": ["exp2"], "exp2": 1})
        yield "b64 false", self.token(head={"alg": "HS256", "kid": self.kid, "crit": ["b64"], "b64": False})
        yield "a head that is a list", self.token(head=["HS256"])

    def _secrets(self) -> Iterator[tuple[str, str]]:
        yield "signed with an empty secret", self.token(secret="")
        yield "signed with the key's id", self.token(secret=self.kid)
        yield "signed by another key's owner", self.token(secret=self.other_secret)
        yield "signed with a hash of the secret", self.token(secret=hashlib.sha256(self.secret.encode()).hexdigest())
        yield "signed with the secret's bytes", self._signed_with(bytes.fromhex(self.secret))
        yield (
            "a jwk of its own",
            self.token(secret="x", head={"alg": "HS256", "kid": self.kid, "jwk": {"kty": "oct", "k": encoded(b"x")}}),
        )

    def _shapes(self) -> Iterator[tuple[str, str]]:
        good = self.token()
        head, claims, signature = good.split(".")
        yield "no signature", f"{head}.{claims}."
        yield "two parts", f"{head}.{claims}"
        yield "four parts", f"{good}.{signature}"
        yield "padded", f"{good}="
        yield "the signature twice", good + signature
        yield "a shorter signature", good[:-1]
        yield "another prefix", "rk_" + good.removeprefix("ek_")
        yield "no prefix", good.removeprefix("ek_")
        yield "the prefix twice", "ek_" + good
        yield "too long", self.token(sub="u" * 100, models=["m" * 120] * 30)

    def _times(self) -> Iterator[tuple[str, str]]:
        now = self.claims["iat"]
        yield "no exp", self.token(exp=None)
        yield "no iat", self.token(iat=None)
        yield "exp beyond the ceiling", self.token(exp=now + 901)
        yield "exp in a year", self.token(exp=now + 365 * 86_400)
        yield "exp as text", self.token(exp=str(now + 600))
        yield "exp before iat", self.token(exp=now - 1)
        yield "from the future", self.token(iat=now + 3_600, exp=now + 4_000)
        yield "not yet", self.token(nbf=now + 3_600)
        yield "exp without end", self.token(exp=1e308)

    def _claims(self) -> Iterator[tuple[str, str]]:
        yield "another issuer", self.token(iss="evil")
        yield "another audience", self.token(aud="evil")
        yield "no jti", self.token(jti=None)
        yield "a scope of its own", self.token(scopes=["admin"])
        yield "a limit of nothing", self.token(limits={"requests": 0})
        yield "a limit that is misspelt", self.token(limits={"request": 1})
        yield "claims that are a list", signed({"alg": "HS256", "kid": self.kid}, ["relay"], self.secret)

    def _signed_with(self, secret: bytes) -> str:
        text = f"{encoded({'alg': 'HS256', 'kid': self.kid})}.{encoded(self.claims)}"
        return f"ek_{text}.{encoded(hmac.new(secret, text.encode(), 'sha256').digest())}"
