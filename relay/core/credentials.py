"""Which credential a request presents (RFC 6750 2.1, and `X-API-Key` with the same rights)."""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from relay.core.errors import RelayError
from relay.core.tokens import TOKEN_BYTES_MAX, TOKEN_PREFIX

CREDENTIAL_BYTES_MAX = 512
QUERY_NAMES = frozenset({"key", "api_key", "access_token", "token"})
# The server joins repeated headers before the application sees them, so it marks them first; no client can send a NUL.
REPEATED = "\0repeated"
IPV6_PREFIX_BITS = 64
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-+\--~]+)\Z")  # visible ASCII without the comma
_BARE = re.compile(r"[!-+\--~]+\Z")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The two headers as they arrived, and the page's origin; None where absent. Not shown by repr, for tracebacks.

    `address`: the caller's, as far as it is known.
    """

    authorization: str | None = None
    api_key: str | None = None
    origin: str | None = None
    address: str = ""


def presented_key(credentials: Credentials) -> str:
    """Return the one key or client token that the request presents.

    Raises RelayError: missing_credentials, ambiguous_credentials (a header repeated, or two headers that differ),
    invalid_api_key (wrong scheme or malformed: the same answer as for an unknown key).
    """
    sent = [value for value in (credentials.authorization, credentials.api_key) if value is not None]
    if not sent:
        raise RelayError("missing_credentials", "No API key was sent. Use the header 'Authorization: Bearer <key>'.")
    if REPEATED in sent:
        raise ambiguous("A credential header was sent more than once.")
    bearer = _only(_BEARER, credentials.authorization)
    bare = _only(_BARE, credentials.api_key)
    if len(sent) == 2 and bearer != bare:
        raise ambiguous("Authorization and X-API-Key name different keys.")
    key = bearer or bare
    if not key or len(key) > (TOKEN_BYTES_MAX if key.startswith(TOKEN_PREFIX) else CREDENTIAL_BYTES_MAX):
        raise invalid_key()
    return key


def network_of(address: str) -> str:
    """Return whom an address stands for: itself, or of IPv6 the /64 that one customer has all of (RFC 6177)."""
    try:
        known = ip_address(address)
    except ValueError:
        return "unknown"
    if known.version == 4:
        return str(known)
    mapped = known.ipv4_mapped
    return str(mapped) if mapped else str(ip_network((known, IPV6_PREFIX_BITS), strict=False))


def ambiguous(message: str) -> RelayError:
    return RelayError("ambiguous_credentials", message)


def invalid_key() -> RelayError:
    """One body for unknown, revoked, expired and malformed keys, so that none of them can be told from another."""
    return RelayError("invalid_api_key", "The API key is not valid.")


class KeyRevoked(RelayError):
    """The key was revoked while its request waited: outside of a stream the same answer as for an unknown key."""

    def __init__(self) -> None:
        unknown = invalid_key()
        super().__init__(unknown.code, unknown.message)


def _only(pattern: re.Pattern[str], value: str | None) -> str:
    match = pattern.match((value or "").strip(" \t"))
    return match[match.lastindex or 0] if match else ""
