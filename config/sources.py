"""The TOML file: its sections and its upstreams, each value with the place it came from."""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from msgspec import Struct
from msgspec.structs import fields

from config.schema import Settings

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILE = "config/relay.toml"


@dataclass(frozen=True)
class Given:
    """A value as the operator gave it, and where: a variable's name or a file's path."""

    value: object
    source: str


Table = dict[str, Given]

SECTIONS: dict[str, type[Struct]] = {
    f.name: f.type for f in fields(Settings) if f.name not in ("upstreams", "config_path")
}


def from_root(path: str) -> Path:
    """A relative path counts from the project root, so that the relay starts from any working directory."""
    return ROOT / path


def read_file(path: Path, problems: list[str]) -> dict[str, object]:
    """The file as tomllib gives it; unreadable or not TOML: a problem, and nothing."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        problems.append(f"{path}: is not TOML: {error}")
    return {}


def read_sections(document: dict[str, object], path: Path, problems: list[str]) -> dict[str, Table]:
    """Section -> name -> value of the file."""
    known = [*SECTIONS, "upstreams"]
    problems += [f"[{s}]: {unknown_name(s, known)} (from {path})" for s in document if s not in known]
    return {section: read_table(document.get(section, {}), f"[{section}]", path, problems) for section in SECTIONS}


def read_upstreams(document: dict[str, object], path: Path, problems: list[str]) -> list[Table]:
    """The entries of [[upstreams]]; a file without any has one, of nothing but defaults."""
    entries = document.get("upstreams", [{}])
    if not isinstance(entries, list) or not entries:
        problems.append(f"[[upstreams]]: must be a list of at least one table (from {path})")
        return []
    return [read_table(entry, f"[[upstreams]] #{i}", path, problems) for i, entry in enumerate(entries, 1)]


def read_table(content: object, where: str, path: Path, problems: list[str]) -> Table:
    """Name -> value of one table of the file; anything but a table: a problem, and nothing."""
    if isinstance(content, dict):
        return {name: Given(value, str(path)) for name, value in content.items()}
    problems.append(f"{where}: must be a table (from {path})")
    return {}


def unknown_name(name: str, known: list[str]) -> str:
    """The reason for an unknown name, with the nearest known one."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    return f"unknown setting, did you mean {close[0]}?" if close else "unknown setting"
