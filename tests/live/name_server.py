"""A name server that fails when it is told to, for one relay process."""

from pathlib import Path

# Stands in for a name server: Python runs `sitecustomize` before anything else is imported.
NAME_SERVER = """
import _socket
from pathlib import Path
from time import sleep

here = Path(__file__).parent
real = _socket.getaddrinfo

def getaddrinfo(host, *args, **kwargs):
    if host in ("localhost", b"localhost"):
        with (here / "lookups").open("ab") as lookups:
            lookups.write(b".")
            number = lookups.tell()
        seconds, times = (here / "failing").read_text().split()
        if number <= int(times):
            sleep(float(seconds))
            raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")
        host = (here / "address").read_text()
    return real(host, *args, **kwargs)

_socket.getaddrinfo = getaddrinfo
"""


class NameServer:
    """Says where `localhost` is, or fails for it after some seconds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "sitecustomize.py").write_text(NAME_SERVER)
        self.work()

    def work(self, address: str = "127.0.0.1") -> None:
        (self.directory / "address").write_text(address)
        self.fail(0, times=0)

    def fail(self, seconds: float, times: int = 1000) -> None:
        (self.directory / "failing").write_text(f"{seconds} {times}")
        (self.directory / "lookups").write_bytes(b"")

    @property
    def lookups(self) -> int:
        return (self.directory / "lookups").stat().st_size
