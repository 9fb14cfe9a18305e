"""Single requests through the public address, over http.client: what came, when, and how it broke off if it did."""

import http.client
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult

from relay.core.diagnosis.evidence import Answer, Failure, Stream
from relay.diagnosis.listening import Listener

SECONDS_MAX = 10.0
BODY_BYTES_MAX = 65_536
READ_BYTES = 65_536
# UnicodeError: a name that cannot be one.
BROKEN = (OSError, http.client.HTTPException, zlib.error, UnicodeError)


@dataclass(frozen=True)
class Address:
    """The public address without a trailing slash; `tls`: whom it must convince."""

    url: SplitResult
    tls: ssl.SSLContext

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer and the first part of its body; never raises."""
        began = time.monotonic()
        try:
            with self._answered(method, path, headers, SECONDS_MAX) as (_, response):
                return _head(response, time.monotonic() - began, response.read(BODY_BYTES_MAX))
        except BROKEN as error:
            return Answer(seconds=time.monotonic() - began, failure=_failure(error))

    def listen(self, path: str, headers: Mapping[str, str], seconds_max: float) -> Stream:
        """Return the self-test as it came, within `seconds_max`; never raises."""
        began = time.monotonic()
        try:
            with self._answered("GET", path, headers, seconds_max) as (sock, response):
                head = _head(response, time.monotonic() - began)
                if head.status != http.client.OK:
                    return Stream(_head(response, head.seconds, response.read(BODY_BYTES_MAX)))
                return _listened(sock, response, head, began + seconds_max)
        except BROKEN as error:
            failed = Answer(seconds=time.monotonic() - began, failure=_failure(error))
            return Stream(failed, quiet_seconds=(failed.seconds, 0.0, 0.0))

    @contextmanager
    def _answered(
        self, method: str, path: str, headers: Mapping[str, str], seconds_max: float
    ) -> Iterator[tuple[socket.socket, http.client.HTTPResponse]]:
        """One request on a connection of its own. The proxies of this machine's environment are not asked."""
        with closing(self._connection(seconds_max)) as connection:
            connection.connect()
            sock = connection.sock
            connection.request(method, self.url.path + path, headers=dict(headers))
            with connection.getresponse() as response:
                yield sock, response

    def _connection(self, seconds_max: float) -> http.client.HTTPConnection:
        host, port = self.url.hostname or "", self.url.port
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=seconds_max, context=self.tls)
        return http.client.HTTPConnection(host, port, timeout=seconds_max)


def _head(response: http.client.HTTPResponse, seconds: float, body: bytes = b"") -> Answer:
    return Answer(response.status, response.version, tuple(response.getheaders()), body, seconds)


def _listened(sock: socket.socket, response: http.client.HTTPResponse, head: Answer, deadline: float) -> Stream:
    listener, failure = Listener(head.seconds), None
    unzip = zlib.decompressobj(wbits=47) if head.header("content-encoding") in ("gzip", "deflate") else None
    try:
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            data = response.read1(READ_BYTES)
            if not data:
                break
            listener.take(unzip.decompress(data) if unzip else data)
    except BROKEN as error:
        failure = _failure(error)
    return listener.stream(head, failure)


def _failure(error: Exception) -> Failure:
    if isinstance(error, socket.gaierror | UnicodeError):
        return Failure("dns", f"the name is not known: {getattr(error, 'strerror', None) or 'it cannot be one'}")
    if isinstance(error, ssl.SSLError):
        return Failure("tls", _tls_detail(error))
    if isinstance(error, TimeoutError):
        return Failure("silence", "nothing came in time")
    if isinstance(error, http.client.HTTPException | ConnectionResetError | BrokenPipeError | zlib.error):
        return Failure("closed", f"the connection broke off ({type(error).__name__})")
    return Failure("connect", f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}")


def _tls_detail(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    return f"the TLS handshake fails: {(error.reason or 'unknown reason').replace('_', ' ').lower()}"
