"""What gunicorn would work out anew for every request, though it stays the same: together a tenth of its time.

Stands on gunicorn 27.0.1: `Config` looks its settings up in `__getattr__`, `Response` calls `util.http_date`, and the
WSGI environment is built with `wsgi.WSGIErrorsWrapper`; each has a contract test.
"""

import time
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi

_format_date = util.http_date
_open_errors = wsgi.WSGIErrorsWrapper


def spare(cfg: Any) -> None:
    """Keep for a worker's life what its requests share: its settings, its error stream; and for a second its date."""
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})
    wsgi.WSGIErrorsWrapper = lru_cache(maxsize=1)(_open_errors)
    util.http_date = _date


def _date(timestamp: float | None = None) -> str:
    return _date_of(int(time.time() if timestamp is None else timestamp))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return str(_format_date(second))
