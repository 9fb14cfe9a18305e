"""Keeps the upstream's key out of what a caller reads, even where the upstream echoes it."""

# Upstreams without authentication are often given a placeholder ("none", "EMPTY"); it is no secret, and common text.
SECRET_CHARACTERS_MIN = 12


def secret_in(api_key: str) -> str:
    """Return what of an upstream's key must be kept from callers: all of it, or nothing of a placeholder."""
    return api_key if len(api_key) >= SECRET_CHARACTERS_MIN else ""


class Scrubber:
    """Replaces `secret` by as many stars, so that lengths stay true.

    A tail that may be its beginning waits for the next read.
    """

    __slots__ = ("_held", "_secret", "_stars")

    def __init__(self, secret: str) -> None:
        self._secret = secret_in(secret).encode()
        self._stars = b"*" * len(self._secret)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what is safe to pass on."""
        if not self._secret:
            return data
        data = self.whole(self._held + data if self._held else data)
        keep = self._overlap(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        """Return what was held back: the body ended, so it was not the secret."""
        held, self._held = self._held, b""
        return held

    def whole(self, data: bytes) -> bytes:
        """Clean bytes that are complete in themselves, such as whole frames."""
        if self._secret and data.find(self._secret) >= 0:
            return data.replace(self._secret, self._stars)
        return data

    def _overlap(self, data: bytes) -> int:
        """Length of the longest tail of `data` with which the secret begins."""
        start = data.find(self._secret[:1], max(0, len(data) - len(self._secret) + 1))
        while start >= 0:
            if self._secret.startswith(data[start:]):
                return len(data) - start
            start = data.find(self._secret[:1], start + 1)
        return 0
