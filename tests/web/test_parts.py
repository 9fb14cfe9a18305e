"""A multipart body on its way through: counted and timed as a whole, and never kept."""

from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from types import SimpleNamespace

import pytest
from gunicorn.http.errors import InvalidChunkSize

from relay.core.errors import RelayError
from relay.web import parts
from relay.web.parts import Parts


class Clock:
    """Stands for the module `time` within the reader; a read takes `seconds`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.now

    def read(self, size: int = -1) -> bytes:
        self.now += self.seconds
        return b"x"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(parts, "time", clock)
    return clock


def unhurried(spent_seconds: float) -> AbstractContextManager[None]:
    return nullcontext()


def code_of(reader: Parts, size: int = -1) -> str:
    with pytest.raises(RelayError) as caught:
        reader.read(size)
    return caught.value.code


def test_the_bytes_pass_as_they_are_in_the_pieces_that_are_asked_for() -> None:
    reader = Parts(BytesIO(b"0123456789"), 10, unhurried)
    assert [reader.read(4), reader.read(4), reader.read(4), reader.read(4)] == [b"0123", b"4567", b"89", b""]


@pytest.mark.parametrize("size", [-1, 1, 3])
def test_one_byte_too_many_is_refused_however_it_is_read(size: int) -> None:
    reader = Parts(BytesIO(b"x" * 11), 10, unhurried)
    with pytest.raises(RelayError) as caught:
        while reader.read(size):
            pass
    assert (caught.value.code, caught.value.kind.status) == ("body_too_large", 413)


def test_no_more_is_read_than_is_asked_for() -> None:
    asked: list[int] = []
    stream = SimpleNamespace(read=lambda size=-1: asked.append(size) or b"")
    Parts(stream, 10, unhurried).read(7)
    assert asked == [7]


def test_the_time_of_all_reads_counts_and_that_between_them_too(clock: Clock) -> None:
    spent: list[float] = []
    reader = Parts(clock, 10, lambda seconds: spent.append(seconds) or nullcontext())
    clock.seconds = 2.0
    reader.read()
    clock.now += 5.0
    reader.read()
    assert spent == [0.0, 7.0]


def test_what_the_deadline_raises_ends_the_reading() -> None:
    class Over(AbstractContextManager[None]):
        def __exit__(self, *error: object) -> None:
            raise RelayError("request_timeout", "Too late.")

    assert code_of(Parts(BytesIO(b"x"), 10, lambda seconds: Over())) == "request_timeout"


@pytest.mark.parametrize("error", [InvalidChunkSize(b"x"), ConnectionResetError()], ids=["chunks", "reset"])
def test_a_body_that_breaks_off_is_the_callers_fault(error: Exception) -> None:
    def read(size: int = -1) -> bytes:
        raise error

    assert code_of(Parts(SimpleNamespace(read=read), 10, unhurried)) == "invalid_request"
