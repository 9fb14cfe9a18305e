"""What the demo upstream counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from relay.demo.wire import CallerGone


@dataclass
class Tally:
    """Requests so far, generations running now, and generations whose caller left before their end."""

    requests: int = 0
    active: int = 0
    cancelled: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    @contextmanager
    def generation(self) -> Iterator[None]:
        self.active += 1
        try:
            yield
        except (CallerGone, OSError):
            self.cancelled += 1
            raise
        finally:
            self.active -= 1
