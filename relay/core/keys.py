"""API keys: how one is made, recognised and shown, and what it may do.

`rk_` + 32 random base62 characters + 6 base62 characters of checksum. The checksum is the CRC32 (that of zlib) of the
32 random characters in ASCII, without the `rk_`, as a number in base 62, its highest digit first, filled with `0`.
It protects nothing: it lets a scanner tell a key from noise, and spares the store a look-up for a mistyped one.
"""

import re
import secrets
import string
import zlib
from dataclasses import dataclass
from hashlib import sha256

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "rk_"
RANDOM_CHARACTERS = 32
CHECKSUM_CHARACTERS = 6
ID_CHARACTERS = 16
TOKEN_ID_CHARACTERS = 22
SHOWN_CHARACTERS = 4
# The name of the key that the demo page makes for itself.
DEMO_PAGE_KEY = "demo-page"

_ID_SHAPE = re.compile(rf"key_[0-9A-Za-z]{{{ID_CHARACTERS}}}")
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{RANDOM_CHARACTERS}}})([0-9A-Za-z]{{{CHECKSUM_CHARACTERS}}})")


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What a key may do. Numbers: 0 is no limit; empty `models` or `origins`: any.

    rpm: requests in every sliding 60 s; concurrent: streams at once; tpm: tokens a minute; budget_usd: US dollars
    per budget_per, "day" or "month"; max_output_tokens: of one answer; resume: streams are resumable unasked;
    detach: "finish" reads a stream to its end when its caller has left.
    """

    rpm: int = 0
    concurrent: int = 0
    tpm: int = 0
    budget_usd: float = 0.0
    budget_per: str = "month"
    models: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_output_tokens: int = 0
    resume: bool = False
    detach: str = ""


def mint_key() -> str:
    """Return a new key, with 190 bits from the system's random source."""
    body = _random_base62(RANDOM_CHARACTERS)
    return f"{PREFIX}{body}{_checksum(body)}"


def mint_key_id() -> str:
    """Return a new public name of a key: `key_` + 16 base62 characters."""
    return f"key_{_random_base62(ID_CHARACTERS)}"


def mint_token_id() -> str:
    """Return a new id of a client token: `tok_` + 22 base62 characters."""
    return f"tok_{_random_base62(TOKEN_ID_CHARACTERS)}"


def is_key_id(text: str) -> bool:
    """Say whether this could be the public name of a key of ours. Never raises, whatever the string."""
    return _ID_SHAPE.fullmatch(text) is not None


def is_well_formed(key: str) -> bool:
    """Say whether this could be a key of ours: length, alphabet, checksum. Never raises, whatever the string."""
    shape = _SHAPE.fullmatch(key)
    return shape is not None and _checksum(shape[1]) == shape[2]


def digest(key: str) -> str:
    """Return the SHA-256 of the key's ASCII text, 64 hex digits: the only form in which a key is stored."""
    return sha256(key.encode()).hexdigest()


def preview(key: str) -> tuple[str, str]:
    """Return what a list may show of a key: `rk_` with the next four characters, and the last four."""
    return key[: len(PREFIX) + SHOWN_CHARACTERS], key[-SHOWN_CHARACTERS:]


def _random_base62(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode("ascii"))
    digits = ""
    for _ in range(CHECKSUM_CHARACTERS):
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
