"""TOML and environment -> frozen settings, or every problem at once. The only reader of os.environ."""

import os
import re
from typing import Any

from config.checks import RULES
from config.draft import Draft
from config.environment import Environ, read_environment, read_variable
from config.schema import Server, Settings, Upstream
from config.sources import (
    DEFAULT_FILE,
    SECTIONS,
    Given,
    Table,
    from_root,
    read_file,
    read_sections,
    read_upstreams,
)
from config.upstreams import build_upstream, convert_upstreams

__all__ = ["ConfigError", "Settings", "Upstream", "load"]


class ConfigError(Exception):
    """The configuration is refused. `problems`: one plain line for each reason, none of them with a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Environ = os.environ) -> Settings:
    """Read the file that RELAY_CONFIG names (default config/relay.toml) and, above it, the environment.

    Raises ConfigError with all problems. Secret files are read anew each time, so that a reload rotates them.
    """
    draft = Draft()
    file = read_variable(environ, "RELAY_CONFIG", draft.problems)
    path = from_root(str(file.value) if file else DEFAULT_FILE)
    document = read_file(path, draft.problems)
    sections = _convert_sections(draft, read_sections(document, path, draft.problems), environ)
    upstreams = convert_upstreams(draft, read_upstreams(document, path, draft.problems), environ)
    if draft.problems:
        raise ConfigError(list(dict.fromkeys(draft.problems)))
    built: dict[str, Any] = {name: kind(**sections[name]) for name, kind in SECTIONS.items()}
    return Settings(**built, upstreams=tuple(map(build_upstream, upstreams)), config_path=path)


def _convert_sections(draft: Draft, tables: dict[str, Table], environ: Environ) -> dict[str, dict[str, Any]]:
    for section, table in read_environment(environ, draft.problems).items():
        tables[section].update(table)
    _replace_port(tables["server"], read_variable(environ, "PORT", draft.problems))
    sections = {name: draft.convert(kind, f"[{name}]", tables[name]) for name, kind in SECTIONS.items()}
    draft.check(RULES)
    return sections


def _replace_port(server: Table, port: Given | None) -> None:
    bind = server["bind"].value if "bind" in server else Server().bind
    if port is not None and isinstance(bind, str):
        server["bind"] = Given(re.sub(r"(:[0-9]*)?\Z", lambda _: f":{port.value}", bind, count=1), port.source)
