"""Where the workers of this host listen for the operator: a directory of their own, beside the database."""

from pathlib import Path

from config.schema import Settings
from config.sources import from_root

_SQLITE = "sqlite:///"
# A database that is no file has nothing to be beside of.
_ELSEWHERE = "var/relay"
SUFFIX = ".control"


def control_directory(settings: Settings) -> Path:
    """Return the directory; whoever shares the database on this host finds the same one."""
    url = settings.stores.database_url
    file = url.removeprefix(_SQLITE).partition("?")[0] if url.startswith(_SQLITE) else ""
    path = from_root(file or _ELSEWHERE)
    return path.with_name(path.name + SUFFIX)
