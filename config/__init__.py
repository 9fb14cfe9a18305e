"""What an operator may set: `load()` turns file and environment into frozen settings, or says all that is wrong."""

from config.schema import Settings, Upstream
from config.settings import ConfigError, load

__all__ = ["ConfigError", "Settings", "Upstream", "load"]
