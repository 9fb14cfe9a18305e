"""The entries of [[upstreams]]: each on its own, their keys from the environment, and what they owe each other."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from config.checks import UPSTREAM_RULES, quoted
from config.draft import Draft
from config.environment import Environ, read_secret, read_variable
from config.schema import Upstream
from config.sources import Given, Table, from_root

DEFAULT_NAME = "default"
OTHER_KEY_NAME = "HOLYSHEEP_API_KEY"  # for the default upstream whose own variable is not set


def convert_upstreams(draft: Draft, tables: list[Table], environ: Environ) -> list[dict[str, Any]]:
    """The keyword arguments of each Upstream, incomplete where there is a problem."""
    base_url = read_variable(environ, "OPENAI_BASE_URL", draft.problems)
    entries = [_convert(draft, _where(i), table, base_url) for i, table in enumerate(tables)]
    _refuse_repeated_names(draft, entries)
    _refuse_unnamed_keys(draft, tables)
    return [{**entry, "api_key": _api_key(draft, entry, environ)} for entry in entries]


def build_upstream(values: Mapping[str, Any]) -> Upstream:
    """From complete values: no trailing slash, header names in lower case, an absolute ca_file."""
    upstream = Upstream(**values)
    return replace(
        upstream,
        base_url=upstream.base_url.rstrip("/"),
        forward_headers=tuple(name.lower() for name in upstream.forward_headers),
        ca_file=upstream.ca_file and str(from_root(upstream.ca_file)),
    )


def _where(index: int) -> str:
    return f"[[upstreams]] #{index + 1}"


def _convert(draft: Draft, where: str, table: Table, base_url: Given | None) -> dict[str, Any]:
    is_default = "name" not in table or table["name"].value == DEFAULT_NAME
    given = {**table, "base_url": base_url} if base_url and is_default else table
    values = draft.convert(Upstream, where, given)
    draft.check(UPSTREAM_RULES, prefix=f"{where} ")
    return values


def _refuse_repeated_names(draft: Draft, entries: list[dict[str, Any]]) -> None:
    names = [entry.get("name") for entry in entries]
    for i, name in enumerate(names):
        if name is not None and name in names[:i]:
            draft.refuse([f"{_where(i)} name"], f"another upstream is named {quoted(name)} too")


def _refuse_unnamed_keys(draft: Draft, tables: list[Table]) -> None:
    """A default here would send one provider's key to another."""
    for i, table in enumerate(tables):
        if len(tables) > 1 and "api_key_env" not in table:
            draft.refuse([f"{_where(i)} api_key_env"], 'must be given when there are several upstreams ("" for no key)')


def _api_key(draft: Draft, entry: Mapping[str, Any], environ: Environ) -> str:
    variable = entry.get("api_key_env")
    if not variable:
        return ""
    key = read_secret(environ, variable, draft.problems)
    if key is None and entry.get("name") == DEFAULT_NAME:
        key = read_secret(environ, OTHER_KEY_NAME, draft.problems)
    if key is None:
        return ""
    # anything else fails in the header of the first request, with the key in the message
    if not re.fullmatch(r"[!-~]+", str(key.value)):
        draft.problems.append(f"{key.source}: must be visible ASCII characters, without spaces and line ends")
    return str(key.value)
