"""The environment, which stands above the file. An empty variable counts as unset.

Only names of the form RELAY_X__Y are taken for ours without being known: Kubernetes injects RELAY_SERVICE_HOST.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import get_args

from msgspec.structs import fields

from config.schema import SECRETS
from config.sources import SECTIONS, Given, Table, from_root, unknown_name

Environ = Mapping[str, str]

_NAMES = {f"RELAY_{s}__{f.name}".upper(): (s, f.name) for s, kind in SECTIONS.items() for f in fields(kind)}
_TEXTS = {(s, f.name) for s, kind in SECTIONS.items() for f in fields(kind) if get_args(f.type)[0] is str}
_SHORT_NAMES = {
    "WEB_CONCURRENCY": ("server", "workers"),
    "DATABASE_URL": ("stores", "database_url"),
    "REDIS_URL": ("stores", "redis_url"),
}
_SECRET_FILES = {f"{name}_FILE" for name, (_, field) in _NAMES.items() if field in SECRETS}


def read_environment(environ: Environ, problems: list[str]) -> dict[str, Table]:
    """Section -> name -> value. RELAY_X__Y wins over a short name like REDIS_URL."""
    problems += [_unknown(name) for name in sorted(environ) if _is_ours(name) and not _is_known(name)]
    found: dict[str, Table] = {section: {} for section in SECTIONS}
    for variable, (section, name) in [*_SHORT_NAMES.items(), *_NAMES.items()]:
        read = read_secret if name in SECRETS else read_variable
        given = read(environ, variable, problems)
        if given is not None:
            found[section][name] = _parsed(given, variable, wants_text=(section, name) in _TEXTS)
    return found


def read_variable(environ: Environ, variable: str, problems: list[str]) -> Given | None:
    """The variable's text; unset or empty: None."""
    text = environ.get(variable, "")
    try:
        text.encode()
    except UnicodeEncodeError:
        problems.append(f"{variable}: is not UTF-8 text")
        return None
    return Given(text, variable) if text else None


def read_secret(environ: Environ, variable: str, problems: list[str]) -> Given | None:
    """The variable's text, or the content of the file that VARIABLE_FILE names, without its last newline."""
    plain = read_variable(environ, variable, problems)
    file = read_variable(environ, f"{variable}_FILE", problems)
    if plain and file:
        problems.append(f"{variable}: is given twice, by itself and by {variable}_FILE; keep one")
    if plain or file is None:
        return plain
    return _read_secret_file(file, problems)


def parse(text: str, *, wants_text: bool) -> object:
    """TOML syntax, a bare word being a string. Where a string is wanted, `4.1` and `true` are bare words too."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    is_one_value = document.keys() == {"value"}
    is_bare_word = wants_text and not isinstance(document["value"], str)
    return document["value"] if is_one_value and not is_bare_word else text


def _parsed(given: Given, variable: str, *, wants_text: bool) -> Given:
    is_from_file = given.source != variable
    return given if is_from_file else Given(parse(str(given.value), wants_text=wants_text), variable)


def _read_secret_file(file: Given, problems: list[str]) -> Given | None:
    # the path is not repeated: people put the secret itself there
    try:
        text = from_root(str(file.value)).read_bytes().decode()
    except OSError as error:
        problems.append(f"{file.source}: the file it names cannot be read: {error.strerror}")
        return None
    except ValueError:
        problems.append(f"{file.source}: the file it names is not UTF-8 text")
        return None
    text = re.sub(r"\r?\n\Z", "", text)
    if not text:
        problems.append(f"{file.source}: the file it names is empty")
        return None
    return Given(text, file.source)


def _is_ours(variable: str) -> bool:
    section, separator, name = variable.removeprefix("RELAY_").partition("__")
    return variable.startswith("RELAY_") and bool(section and separator and name)


def _is_known(variable: str) -> bool:
    return variable in _NAMES or variable in _SECRET_FILES


def _unknown(variable: str) -> str:
    if variable.startswith("RELAY_UPSTREAMS__"):
        return (
            f"{variable}: entries of a list cannot be set from the environment; "
            "write [[upstreams]] in a TOML file and name it in RELAY_CONFIG"
        )
    return f"{variable}: {unknown_name(variable, [*_NAMES, *_SECRET_FILES])}"
