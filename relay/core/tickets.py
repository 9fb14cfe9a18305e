"""Tickets: what a native EventSource puts into its URL, because it can send no header. One opens one stream.

`<expiry, epoch seconds in base 36>.<HMAC-SHA256 over stream and expiry, base64url>` (RFC 2104, RFC 4648 5).
"""

import base64
import hmac
import re
from hashlib import sha256

_SHAPE = re.compile(r"([0-9a-z]{1,12})\.([A-Za-z0-9_-]{43})")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def mint_ticket(secret: bytes, name: str, expires_at: float) -> str:
    """Return a ticket for the stream or the task `name`; `expires_at`: UTC epoch seconds."""
    expiry = _base36(int(expires_at))
    return f"{expiry}.{_mac(secret, name, expiry)}"


def expiry_of(secret: bytes, name: str, ticket: str) -> float | None:
    """Return until when a genuine ticket for `name` holds (UTC epoch seconds); None for any other string."""
    shape = _SHAPE.fullmatch(ticket)
    if shape is None or not hmac.compare_digest(_mac(secret, name, shape[1]), shape[2]):
        return None
    return float(int(shape[1], 36))


def _mac(secret: bytes, name: str, expiry: str) -> str:
    mac = hmac.digest(secret, f"ticket\n{name}\n{expiry}".encode(), sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
